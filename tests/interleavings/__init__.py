"""Requests of one browser at the same time, in every order of their steps at the store, held against the promises."""

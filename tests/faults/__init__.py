"""Proof under faults: situations that lose sessions elsewhere, on every store, as figures.

`make test` runs the short form (test_faults.py); `make faults` the long one, which prints a table (__main__.py).
A module a situation: each has SITUATION, `applies(kind)` and `run(case, long)`.
"""

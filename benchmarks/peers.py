"""The libraries that people use today."""

from .contenders import Contender

PEERS: list[type[Contender]] = []

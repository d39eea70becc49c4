"""The power goes: what was not synced is lost page by page, in a model of the disk."""

import logging

from .. import test_power_cuts
from .cases import Case, Figures, Kind

SITUATION = "power cut, 4 times 1,000, without and with a signature, hashed ids, and `durable`, where none is lost"


def applies(kind: Kind) -> bool:
    return kind.scheme == "shelve"


def run(case: Case, long: bool) -> Figures:
    logging.getLogger("session3").setLevel(logging.CRITICAL)
    try:
        judges = {
            name: test_power_cuts.cut(options, 1000 if long else 20, 1)
            for name, options in test_power_cuts.OPTIONS.items()
        }
    finally:
        logging.getLogger("session3").setLevel(logging.NOTSET)
    wrong, lost = sum(judge.wrong for judge in judges.values()), judges["durable"].lost
    cuts = sum(judge.cuts for judge in judges.values())
    return Figures(f"{wrong} of another visitor, {lost} lost of {cuts} cuts", wrong == lost == 0)

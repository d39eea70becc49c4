"""Speed, side by side: `make bench`.

Every figure is a ratio to a floor of the same run: the same bytes through the bare driver. A module a kind of
contender; `measure.py` runs them in shuffled rounds, `report.py` prints and writes.
"""

"""Speed, side by side: `make bench`.

Figures are compared within a run, with a floor: the same bytes through the bare driver. `sections.py` says what a
section is, `contenders.py` what is measured in it; there is a module for each kind of contender. `measure.py` runs
them in shuffled rounds, `report.py` and `plots.py` show what came out.
"""

"""`python -m session3` is the `session3` command."""

from .cli import main

main(prog_name="session3")

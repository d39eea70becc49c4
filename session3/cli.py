"""The `session3` command: what is done to a store from outside the application.

>>> from click.testing import CliRunner
>>> print(CliRunner().invoke(main, ["setup", "memory://"]).output, end="")
VolatileSessionStore() is set up
"""

import click

from . import __version__, open_store
from .errors import SessionError, StoreExists


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="session3")
def main() -> None:
    """Look after the stores of persistent web sessions."""


@main.command()
@click.argument("url")
@click.option("--overwrite", is_flag=True, help="Delete the sessions that the store holds.")
def setup(url: str, overwrite: bool) -> None:
    """Create what the store at URL needs, such as its table.

    An example of a URL is sqlite:////var/lib/app/sessions.db. A store that holds sessions is left alone, unless they
    may be overwritten.
    """
    try:
        with open_store(url) as store:
            store.setup(overwrite=overwrite)
    except StoreExists:
        # The URL may hold a password, so neither is it repeated here.
        raise click.ClickException("the store holds sessions, and was left alone; --overwrite deletes them") from None
    except SessionError as error:
        raise click.ClickException(" ".join(str(error).split())) from None
    click.echo(f"{store!r} is set up" + (", and empty" if overwrite else ""))

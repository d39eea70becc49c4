"""The `session3` command: what is done to a store from outside the application.

>>> from click.testing import CliRunner
>>> print(CliRunner().invoke(main, ["setup", "memory://"]).output, end="")
VolatileSessionStore() is set up
>>> print(CliRunner().invoke(main, ["check", "memory://"]).output, end="")
VolatileSessionStore() is ready

Exit codes: 0, all is as it should be; 1, it is not, and one line on stderr says why; 2, the command was not understood,
or what it asks for has to be confirmed and nobody is there to do so.
"""

import contextlib
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any
from urllib.parse import quote, quote_plus

import click

from . import __version__, open_store, urlparts
from .errors import SessionError, StoreExists, StoreNotSetUp
from .store.SessionStore import SessionStore

_MAX_COUNT = 10_000  # sessions that are counted before they are deleted


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="session3")
def main() -> None:
    """Look after the stores of persistent web sessions."""


@main.command()
@click.argument("url")
@click.option("--overwrite", is_flag=True, help="Delete the sessions that the store holds.")
@click.option("--yes", is_flag=True, help="Do not ask before sessions are deleted.")
def setup(url: str, overwrite: bool, yes: bool) -> None:
    """Create what the store at URL needs, such as its table.

    An example of a URL is sqlite:////var/lib/app/sessions.db. What is there stays, and so do the sessions in it: the
    command may be run at each deploy.
    """
    with _store(url) as store:
        if overwrite and not yes:
            _confirm(store)
        state = ", and empty" if overwrite else ""
        try:
            store.setup(overwrite=overwrite)
        except StoreExists:
            state = " already; its sessions stay"
        click.echo(f"{store!r} is set up{state}")


@main.command()
@click.argument("url")
def check(url: str) -> None:
    """Tell whether the store at URL is ready for an application, without changing it."""
    with _store(url) as store:
        store.check()
        click.echo(f"{store!r} is ready")


@contextlib.contextmanager
def _store(url: str) -> Iterator[SessionStore]:
    """Open a store; whatever goes wrong ends the command with one line, without the URL's password."""
    try:
        with open_store(url) as store:
            yield store
    except (click.ClickException, click.Abort, click.exceptions.Exit):
        raise
    except Exception as error:
        words = " ".join(str(error).split())
        if not isinstance(error, SessionError):
            words = f"{type(error).__name__}: {words}"
        raise click.ClickException(_without_password(words, url)) from None


def _without_password(words: str, url: str) -> str:
    # No message of ours has it; a driver's may.
    with contextlib.suppress(SessionError):
        password = urlparts.split(url).password or ""
        for form in {password, quote(password, safe=""), quote_plus(password), quote(password)} - {""}:
            words = words.replace(form, "***")
    return words


def _confirm(store: SessionStore) -> None:
    """Let a person say that sessions are to be deleted."""
    question = f"{store!r} holds {_count(store)}; delete what it holds?"
    if not sys.stdin.isatty():
        raise _Unanswered(f"{question} Nobody is there to be asked: add --yes")
    if not click.confirm(question):
        raise click.ClickException("nothing was deleted")


class _Unanswered(click.ClickException):
    exit_code = 2


def _count(store: Any) -> str:
    """Return how many sessions a store holds, in words."""
    found = store.scan() if hasattr(store, "scan") else store.iter_sessions()
    try:
        number = sum(1 for _, one in islice(found, _MAX_COUNT + 1) if getattr(one, "forward", None) is None)
    except StoreNotSetUp:
        return "no sessions of ours"
    except NotImplementedError:
        return "nobody knows how many sessions"
    if number > _MAX_COUNT:
        return f"more than {_MAX_COUNT:,} sessions"
    return "1 session" if number == 1 else f"{number:,} sessions"

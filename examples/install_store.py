#!/usr/bin/env python3
"""Create what a store needs, once, when an application is installed: tables on a server, a file or a folder elsewhere.

    python examples/install_store.py sqlite:///./sessions.db
    python examples/install_store.py --overwrite sqlite:///./sessions.db

A store that holds sessions is left alone, unless they may be overwritten: then everyone is logged out.
"""

import argparse
import sys

import session3
from session3.errors import SessionError, StoreExists


def main() -> None:
    parser = argparse.ArgumentParser(description="Create what a session store needs.")
    parser.add_argument("url", help="such as sqlite:///./sessions.db")
    parser.add_argument("--overwrite", action="store_true", help="delete the sessions that are there")
    options = parser.parse_args()
    try:
        with session3.open_store(options.url) as store:
            store.setup(overwrite=options.overwrite)
            print(f"{store!r} is ready.")
    except StoreExists:
        sys.exit("The store holds sessions; nothing was changed. --overwrite deletes them.")
    except SessionError as error:
        sys.exit(str(error))  # the URL is not in it: it may hold a password


if __name__ == "__main__":
    main()

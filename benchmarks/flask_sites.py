"""Sites in Flask, of the session interfaces of flask_peers.py."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import sites
from .contenders import Servers
from .flask_peers import FlaskCookie, FlaskPeer, FlaskSessionFiles, FlaskSessionRedis


class FlaskSite(sites.Site):
    framework = "Flask"
    peer: type[FlaskPeer]

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        super().__init__(with_pages(self.peer.make_app(folder, servers)))


def with_pages(app: Any) -> Any:
    from flask import session

    app.add_url_rule("/plain", "plain", sites.plain)
    for page in (sites.begin, sites.read, sites.change):
        app.add_url_rule(f"/{page.__name__}", page.__name__, lambda page=page: page(session))
    return app


class BareFlask(FlaskSite):
    name, family, is_bare = "Flask without sessions", "", True

    def __init__(self, folder: Path, servers: Servers, stack: ExitStack) -> None:
        from flask import Flask

        sites.Site.__init__(self, with_pages(Flask("bench")))  # without a key it opens no session


class FlaskCookieSite(FlaskSite):
    name, family, peer = FlaskCookie.name, FlaskCookie.family, FlaskCookie


class FlaskSessionFilesSite(FlaskSite):
    name, family, peer = FlaskSessionFiles.name, FlaskSessionFiles.family, FlaskSessionFiles


class FlaskSessionRedisSite(FlaskSite):
    name, family, peer = FlaskSessionRedis.name, FlaskSessionRedis.family, FlaskSessionRedis


FLASK_SITES = [BareFlask, FlaskCookieSite, FlaskSessionFilesSite, FlaskSessionRedisSite]

"""What a request gets under Django whose session another one ended or moved meanwhile: as over its own engines."""

import json
import subprocess
import sys

import pytest

from ..servers import environment

pytest.importorskip("django", reason="needs Django: pip install 'session3[dev]'")

PROGRAM = """
import json, sys, types
import session3
from session3.backends import for_store
ours = sys.modules["ours"] = types.ModuleType("ours")
ours.SessionStore = for_store(session3.open_store("memory://"))
from django.conf import settings
settings.configure(
    SECRET_KEY="s", ALLOWED_HOSTS=["*"], SESSION_ENGINE=sys.argv[1], ROOT_URLCONF=__name__,
    CACHES={"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
)
import django; django.setup()
from django.contrib.sessions.backends import base
from django.http import HttpResponse
from django.test import Client
from django.urls import path
def beside(act):
    def view(request):
        request.session["cart"] = "tea"
        act(type(request.session)(request.session.session_key))
        return HttpResponse("page")
    return view
def start(request):
    request.session["visits"] = 1
    return HttpResponse("page")
urlpatterns = [
    path("start", start), path("logout", beside(lambda other: other.flush())),
    path("login", beside(lambda other: other.cycle_key())),
]
statuses = {}
for name in ("logout", "login"):
    client = Client(raise_request_exception=False)
    client.get("/start")
    statuses[name] = client.get("/" + name).status_code
class Taken(ours.SessionStore):
    @staticmethod
    def _get_new_session_key():
        return "example1"
Taken().save()
taken = Taken("example1")
try:
    taken.save(must_create=True)
except base.CreateError as error:
    statuses["taken"] = type(error).__name__
print(json.dumps(statuses))
"""


@pytest.mark.parametrize("engine", ["ours", "django.contrib.sessions.backends.cache"])
def test_it_is_a_bad_request_and_no_fault_of_the_server_s(engine: str) -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM, engine], env=environment(), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {"logout": 400, "login": 400, "taken": "CreateError"}


def test_without_django_they_are_ours_alone() -> None:
    program = (
        "from session3.backends.base import UpdateError; print(type(UpdateError('x')).__mro__[1:3], UpdateError('x'))"
    )
    run = subprocess.run([sys.executable, "-c", program], env=environment(), capture_output=True, text=True)
    assert run.stdout.endswith("x\n") and "django" not in run.stdout, run.stderr

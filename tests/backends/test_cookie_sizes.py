"""What Django sends for one of our cookie sessions is never larger than what browsers keep."""

import subprocess
import sys

import pytest

from session3.cookies import MAX_COOKIE

from ..servers import environment

pytest.importorskip("django", reason="needs Django: pip install 'session3[dev]'")

PROGRAM = """
import random, sys
from django.conf import settings
settings.configure(SECRET_KEY="s", ALLOWED_HOSTS=["*"], SESSION_ENGINE="session3.backends.signed_cookies", {settings})
import django; django.setup()
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpResponse
from django.test import RequestFactory
from session3.errors import CookieTooLarge
noise, sent = random.Random(7).randbytes(4000).hex(), []
for size in range(4000, 6000, 7):
    def view(request):
        request.session["noise"] = noise[:size]
        return HttpResponse("page")
    try:
        response = SessionMiddleware(view)(RequestFactory().get("/"))
    except CookieTooLarge:
        break
    sent.append(len(response.cookies[settings.SESSION_COOKIE_NAME].OutputString()))
print(sent[-1])
"""


@pytest.mark.parametrize(
    "settings",
    ["", "SESSION_COOKIE_SECURE=True", "SESSION_COOKIE_NAME='n' * 200, SESSION_COOKIE_DOMAIN='shop.example.com',"
     " SESSION_COOKIE_PATH='/a/rather/long/path/'", "SESSION_COOKIE_SAMESITE=False, SESSION_COOKIE_HTTPONLY=False"],
)  # fmt: skip
def test_it_counts_what_the_settings_say(settings: str) -> None:
    program = PROGRAM.replace("{settings}", settings)
    env = {**environment(), "SESSION3_SECRET_KEY": "a key of at least sixteen characters"}
    run = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert MAX_COOKIE - 100 < int(run.stdout) <= MAX_COOKIE

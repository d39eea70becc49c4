"""A private authority, and a certificate of it for this machine, for servers with TLS."""

import shutil
import subprocess
from pathlib import Path

import pytest


def openssl(folder: Path, *arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs openssl: apt-get install openssl")
    subprocess.run([program, *arguments], cwd=folder, check=True, capture_output=True)


def make_authority(folder: Path) -> None:
    """Make ca.pem, and of it server.pem with server.key, which is for localhost and 127.0.0.1."""
    key = ("-newkey", "rsa:2048", "-nodes")
    openssl(
        folder, "req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=private",
        "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign,cRLSign",
    )  # fmt: skip
    openssl(folder, "req", *key, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    openssl(
        folder, "x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "server.pem", "-days", "2", "-extfile", "names",
    )  # fmt: skip
    (folder / "server.key").chmod(0o600)

"""Certificates for tests of TLS, made by openssl when they are needed: no key lies in the repository."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest


class Certificate(NamedTuple):
    """A certificate that is signed by itself, and its key (PEM)."""

    certificate: Path
    key: Path


def new_certificate(folder: Path, name: str = "own", *, host: str = "IP:127.0.0.1") -> Certificate:
    """Make one for a host; without openssl the test is skipped.

    Args:
        folder: where its files go.
        name: of the files.
        host: who it is for, as openssl writes it (`IP:…`, `DNS:…`).
    """
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
         "-addext", f"subjectAltName={host}", "-keyout", str(made.key), "-out", str(made.certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    return made

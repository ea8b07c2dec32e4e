"""Programs to run as cloudflared, and where a real one is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from app.tunnel.binary import find

STAND_IN = Path(__file__).parent / "stand_in.py"


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def saying(path: Path, version: str) -> Path:
    """A cloudflared that can do nothing but say its version."""
    return program(path, f"#!/bin/sh\necho 'cloudflared version {version} (built 2026-10-05-17:37 UTC)'\n")


def stand_in(path: Path) -> Path:
    return program(path, f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')


def real() -> Path:
    """The cloudflared that CLOUDFLARED_BIN names; the test is skipped without."""
    named = os.environ.get("CLOUDFLARED_BIN", "")
    if not named:
        pytest.skip("needs a real cloudflared: set CLOUDFLARED_BIN")
    found = find(named, "", Path("/nonexistent")).found
    assert found is not None
    return found.path

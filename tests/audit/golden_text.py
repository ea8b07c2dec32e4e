"""The golden texts of this room."""

from __future__ import annotations

from pathlib import Path

from tests import golden

FOLDER = Path(__file__).parent / "golden"


def same_as_golden(name: str, text: str, folder: Path = FOLDER) -> bool:
    return golden.same_as_golden(name, text, folder)

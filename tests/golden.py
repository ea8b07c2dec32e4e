"""Texts that people read, kept as files. `GOLDEN=1 pytest` writes them anew; the diff is then reviewed."""

from __future__ import annotations

import os
from pathlib import Path


def same_as_golden(name: str, text: str, folder: Path) -> bool:
    path = folder / name
    if os.environ.get("GOLDEN"):
        path.write_text(text)
    kept = path.read_text() if path.exists() else "(no such file; GOLDEN=1 writes it)"
    assert text == kept, f"{path} differs; GOLDEN=1 writes it anew"
    return True

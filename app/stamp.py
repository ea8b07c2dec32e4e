"""Whether a file is another one than before, without reading it."""

from __future__ import annotations

import os
from pathlib import Path

Stamp = tuple[int, int, int]
_HIDDEN: Stamp = (-1, -1, -1)


def stamp(path: Path) -> Stamp | None:
    """None: no such file. Whatever else hides it is not the same; whoever reads it will say what it is."""
    try:
        seen = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return _HIDDEN
    return seen.st_mtime_ns, seen.st_size, seen.st_ino

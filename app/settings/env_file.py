"""Writing `.env`: what is in it stays, comments too; it is for its owner alone."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

_PLAIN = re.compile(r"[\w@%+=:,./~-]*")


def amended(text: str, values: Mapping[str, str]) -> str:
    """The text with `values` set: in the place of a line that sets the name, else at the end."""
    left = dict(values)
    lines = []
    for line in text.splitlines():
        name = re.match(r"\s*(?:export\s+)?([A-Z_]+)\s*=", line)
        if name is None or name[1] not in values:
            lines.append(line)
        elif name[1] in left:
            lines.append(_line(name[1], left.pop(name[1])))
    return "\n".join([*lines, *(_line(name, value) for name, value in left.items())]) + "\n"


def amend(path: Path, values: Mapping[str, str]) -> None:
    """Whole or not at all, with mode 0600 whatever it had. Raises OSError."""
    before = path.read_text("utf-8-sig") if path.exists() else ""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as out:
            out.write(amended(before, values))
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _line(name: str, value: str) -> str:
    """Raises ValueError for what no line of the file can hold."""
    if _PLAIN.fullmatch(value):
        return f"{name}={value}"
    if "\n" in value or "\r" in value:
        raise ValueError(f"{name} has a line break in it")
    quoted = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{quoted}'"

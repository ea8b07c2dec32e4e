"""What cloudflared logs (`--output json`), as lines of our own log: short, on one line, without secrets."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

# One less than there: what counts for us is the state of the tunnel, and that is told for itself.
LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.DEBUG,
    "warn": logging.INFO,
    "error": logging.WARNING,
    "fatal": logging.ERROR,
    "panic": logging.ERROR,
}
LONGEST = 500
# Tunnel tokens and JWTs are base64 of JSON.
_TOKEN = re.compile(r"eyJ[\w+/=.-]{20,}")


@dataclass(frozen=True, slots=True)
class Line:
    """`plain`: it was no JSON, so it is about usage, or the end of the process."""

    level: int
    text: str
    plain: bool


def read(line: bytes, secrets: Iterable[str] = ()) -> Line | None:
    """None for an empty line. `secrets` do not come out again, and nothing that looks like a token does."""
    text = line.decode("utf-8", "replace").strip()
    if not text:
        return None
    fields = _fields(text)
    level, said = (logging.WARNING, text) if fields is None else _told(fields)
    for secret in secrets:
        said = said.replace(secret, "…")
    said = "".join(c if c.isprintable() else " " for c in _TOKEN.sub("…", said))
    return Line(level, said if len(said) <= LONGEST else said[:LONGEST] + "…", plain=fields is None)


def _fields(text: str) -> dict[str, Any] | None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) else None


def _told(fields: dict[str, Any]) -> tuple[int, str]:
    parts = [str(fields.get("message", ""))]
    parts += [f"{name}={fields[name]}" for name in ("connIndex", "location", "protocol") if name in fields]
    parts.append(str(fields.get("error", "")))
    return LEVELS.get(str(fields.get("level")), logging.WARNING), " ".join(part for part in parts if part)

"""What cloudflared logs (`--output json`), as lines of our own log: short, on one line, without secrets."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "fatal": logging.ERROR,
    "panic": logging.ERROR,
}
LONGEST = 500
# Tunnel tokens and JWTs are base64 of JSON.
_TOKEN = re.compile(r"eyJ[\w+/=.-]{20,}")


@dataclass(frozen=True, slots=True)
class Line:
    level: int
    text: str


def read(line: bytes, secrets: Iterable[str] = ()) -> Line | None:
    """None for an empty line. `secrets` do not come out again, and nothing that looks like a token does."""
    text = line.decode("utf-8", "replace").strip()
    if not text:
        return None
    level, said = _taken_apart(text)
    for secret in secrets:
        said = said.replace(secret, "…")
    said = "".join(c if c.isprintable() else " " for c in _TOKEN.sub("…", said))
    return Line(level, said if len(said) <= LONGEST else said[:LONGEST] + "…")


def _taken_apart(text: str) -> tuple[int, str]:
    """Whatever is no JSON is usage, or the end of the process, and worth a look."""
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        return logging.WARNING, text
    parts = [str(fields.get("message", ""))]
    parts += [f"{name}={fields[name]}" for name in ("connIndex", "location", "protocol") if name in fields]
    if fields.get("error"):
        parts.append(str(fields["error"]))
    return LEVELS.get(str(fields.get("level")), logging.WARNING), " ".join(part for part in parts if part)

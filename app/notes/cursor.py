"""Cursors: where a walk goes on, good for the query that made it alone. Anybody can read what is in one."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math

from app.notes.models import NoteInvalid

CURSOR_MAX = 600


def encode_cursor(query: tuple[object, ...], *position: int | float | str) -> str:
    raw = json.dumps([_digest(query), *position], separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(raw.encode()).rstrip(b"=").decode()


def decode_cursor(cursor: str, query: tuple[object, ...], *kinds: type) -> list[object]:
    """The position, one value of each of `kinds`. Raises NoteInvalid for any other cursor."""
    if len(cursor) > 4 * CURSOR_MAX:
        raise unknown_cursor()
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True)
        value = json.loads(raw)
    except (UnicodeError, binascii.Error, ValueError, RecursionError):
        raise unknown_cursor() from None
    if not isinstance(value, list) or len(value) != 1 + len(kinds) or value[0] != _digest(query):
        raise unknown_cursor()
    position = value[1:]
    if not all(_fits(item, kind) for item, kind in zip(position, kinds, strict=True)):
        raise unknown_cursor()
    return position


def decode_place(cursor: str, query: tuple[object, ...]) -> int:
    """How many results were passed. Raises NoteInvalid for any other cursor."""
    (passed,) = decode_cursor(cursor, query, int)
    if not isinstance(passed, int) or passed < 1:
        raise unknown_cursor()
    return passed


def _fits(item: object, kind: type) -> bool:
    if isinstance(item, float):
        return kind is float and math.isfinite(item)
    if type(item) is int:
        return kind in (int, float) and abs(item) < 2**63
    return type(item) is kind


def _digest(query: tuple[object, ...]) -> str:
    return hashlib.sha256(repr(query).encode(errors="backslashreplace")).hexdigest()[:12]


def unknown_cursor() -> NoteInvalid:
    return NoteInvalid("This cursor does not belong to this query. Start again without a cursor.")

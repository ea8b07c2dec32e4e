"""Ids of notes: UUIDv7 (RFC 9562 §5.7), so that ids sort by time of creation."""

from __future__ import annotations

import re

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def uuid7(now_ms: int, random_bytes: bytes) -> str:
    """`random_bytes` are ten fresh random bytes; six of their bits give way to version and variant."""
    if len(random_bytes) != 10:
        raise ValueError("uuid7 needs ten random bytes")
    noise = int.from_bytes(random_bytes, "big")
    value = (now_ms & 0xFFFF_FFFF_FFFF) << 80 | noise
    value = value & ~(0xF << 76) | 0x7 << 76  # version 7
    value = value & ~(0x3 << 62) | 0x2 << 62  # variant 10
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def canonical(note_id: str) -> str | None:
    """The id as it is stored, from what a person or a model wrote (`note://…`, upper case), or None."""
    text = note_id.strip().removeprefix("note://").lower()
    return text if _ID.fullmatch(text) else None

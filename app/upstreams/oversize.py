"""A line of a process that is larger than its entry allows: read away, and whose answer it was."""

from __future__ import annotations

import asyncio
import re

LINE_END = b"\n"
ENDS = 512  # bytes that are kept of its beginning, and of its end
TIMES = 16  # so many times as large as allowed, and it is no line any more

# Its number where it cannot be part of anything inside: as the first of the outermost object, or as the last.
# What it asks of us has a number too, of its own: only beside a result, or an error, it is one of ours.
_VERSION = rb'"jsonrpc"\s*:\s*"2\.0"'
_ID = rb'"id"\s*:\s*(\d{1,15})\s*'
_BEGINS = rb"\s*\{\s*(?:" + _VERSION + rb"\s*,\s*)?"
_ANSWERS = rb'"(?:result|error)"\s*:'
_FIRST = re.compile(_BEGINS + _ID + rb",\s*(?:" + _VERSION + rb"\s*,\s*)?" + _ANSWERS)
_ANSWER = re.compile(_BEGINS + _ANSWERS)
_LAST = re.compile(rb",\s*" + _ID + rb"(?:,\s*" + _VERSION + rb"\s*)?\}\s*$")


async def read_away(reader: asyncio.StreamReader, known: int, most: int) -> int | None:
    """The number of the request that it answers, if that can be told. `known`: bytes of it that are there.

    Raises IncompleteReadError where the output ends in it, LimitOverrunError where it does not end."""
    head, tail, size = b"", b"", 0
    while True:
        part = await reader.readexactly(known)
        size += known
        head, tail = (head + part)[:ENDS], (tail + part)[-ENDS:]
        if size > TIMES * most:
            raise asyncio.LimitOverrunError("no end of a line", 0)
        try:
            part = await reader.readuntil(LINE_END)
        except asyncio.LimitOverrunError as more:
            known = more.consumed
        else:
            return number_in((head + part)[:ENDS], (tail + part)[-ENDS:])


def number_in(head: bytes, tail: bytes) -> int | None:
    found = _FIRST.match(head) or (_LAST.search(tail) if _ANSWER.match(head) else None)
    return int(found[1]) if found else None

"""Asks upstreams now, as the server would: who answers with what, and why somebody does not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from app.settings import Settings
from app.upstreams.entries import Entry
from app.upstreams.errors import why_of
from app.upstreams.link import Place, link, lists
from app.upstreams.listing import Listing, listing, nameless
from app.upstreams.upstream import START_SECONDS

SAID_LINES, SAID_LINE = 10, 400  # of a program that does not answer: its last lines, and characters of one
FEW = 20


@dataclass(frozen=True, slots=True)
class Answer:
    """`listing` None: none came, `why`, and what its program `said` last on standard error.
    `left_out`: names, quoted, that cannot be used."""

    listing: Listing | None
    ms: float | None = None
    why: str = ""
    said: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


def ask(settings: Settings, *entries: Entry) -> list[Answer]:
    """Connects to each as the server would, to all at once, and leaves again."""

    async def asked() -> list[Answer]:
        return await asyncio.gather(*(_ask_one(settings, entry) for entry in entries))

    # Programs run in it, and it may be the first thing here.
    settings.upstreams_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _quiet():
        return asyncio.run(asked())


def it_said(said: tuple[str, ...] | list[str], indent: str = "") -> str:
    """One line stands beside `It said:`, several below it."""
    if len(said) == 1:
        return f"It said: {said[0]}"
    return "\n".join(["It said:", *(f"{indent}  {line}" for line in said)])


def left_out(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return f"left out, because such names cannot be used: {', '.join(names[:FEW])}{more}"


def so_many_tools(number: int) -> str:
    return "1 tool" if number == 1 else f"{number} tools"


async def _ask_one(settings: Settings, entry: Entry) -> Answer:
    said: deque[str] = deque(maxlen=SAID_LINES)

    def say(line: str) -> None:
        if line.strip():
            said.append(line.rstrip()[:SAID_LINE])

    def hear() -> Callable[[str], None]:
        said.clear()  # of a start that was tried again
        return say

    place = Place(settings.upstreams_file.parent, os.environ, time.monotonic, hear)
    try:
        async with contextlib.AsyncExitStack() as stack, asyncio.timeout(START_SECONDS):
            connected = await stack.enter_async_context(link(entry, place))
            began = time.perf_counter()
            found = await lists(connected.session)
            ms = round((time.perf_counter() - began) * 1000, 1)
            return Answer(listing(found), ms, left_out=nameless(found))
    except (Exception, BaseExceptionGroup) as problem:
        return Answer(None, why=why_of(problem, whole=True), said=tuple(said))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What we and the SDK notice of an upstream while it is asked is not the answer."""
    logs = [logging.getLogger(name) for name in ("brain.upstreams", "mcp")]
    before = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for log, level in zip(logs, before, strict=True):
            log.setLevel(level)

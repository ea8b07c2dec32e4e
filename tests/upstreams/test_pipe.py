"""The two pipes of a process: what a program can make us keep, and what it can make us do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from app.upstreams.credentials import Credentials
from app.upstreams.entries import Command
from app.upstreams.errors import FLOODS, NoAnswer
from app.upstreams.pipe import FULL, Pipe
from app.upstreams.process import process

MOST = 4 * 1024 * 1024
SPEAKS = """
import json, os, sys, time
def say(message):
    sys.stdout.write(json.dumps(message) + "\\n")
    sys.stdout.flush()
def heard():
    return json.loads(sys.stdin.readline())
"""


async def nobody(*_: Any) -> Any:
    return {}


@contextlib.asynccontextmanager
async def opened(
    folder: Path,
    program: str,
    clock: Callable[[], float] = lambda: 0.0,
    told: Callable[..., bool] = lambda *_: True,
    given: Credentials = Credentials(),  # noqa: B008 - is not changed
    hear: Callable[[str], None] | None = None,
) -> AsyncIterator[tuple[Pipe, asyncio.Task[None]]]:
    """The pipe of such a program, and its `run`, which ends as that of a session does."""
    words = (sys.executable, "-c", SPEAKS + program)
    listen = None if hear is None else lambda: hear
    async with process("up", Command(words), given, folder, most=MOST, clock=clock, hear=listen) as pipe:
        running = asyncio.create_task(pipe.run(nobody, nobody, told))
        try:
            yield pipe, running
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_what_it_asks_with_an_id_that_is_no_id_is_not_answered(tmp_path: Path) -> None:
    program = """
for number in ("x" * 257, "\\ud800", 10**30, "y" * 256):
    say({"id": number, "method": "ping"})
both = sorted((heard(), heard()), key=lambda one: "method" in one)
say({"id": both[1]["id"], "result": {"answered": both[0]["id"]}})
"""
    async with opened(tmp_path, program) as (pipe, _):
        assert await pipe.send_raw_request("x", None) == {"answered": "y" * 256}


async def test_one_that_asks_and_does_not_read_is_ended(tmp_path: Path) -> None:
    program = """
number = "\\U0001f9e0" * 256
for _ in range(20_000):
    say({"id": number, "method": "ping"})
"""
    async with opened(tmp_path, program, clock=map(float, count()).__next__) as (pipe, running):
        await running
        assert pipe.why == "it does not read what it is sent"


async def test_one_that_falls_silent_before_that_is_ended_by_what_is_taken_back_on_top(
    tmp_path: Path,
) -> None:
    program = """
number = "\\U0001f9e0" * 256
for _ in range(1170):  # answers of 1.25 MB: nearly as much as may lie there
    say({"id": number, "method": "ping"})
say({"method": "notifications/message"})
time.sleep(10)
"""
    silent = asyncio.Event()

    def told(*_: Any) -> bool:
        silent.set()
        return True

    clock = map(float, count()).__next__
    async with opened(tmp_path, program, clock, told) as (pipe, running):
        calls = [asyncio.create_task(pipe.send_raw_request("x", None)) for _ in range(3000)]
        await silent.wait()
        assert not running.done()
        for call in calls:
            call.cancel()
        await running
        assert pipe.why == "it does not read what it is sent"
        await asyncio.gather(*calls, return_exceptions=True)


async def test_of_many_large_calls_one_lies_in_memory_and_all_are_answered() -> None:
    loop, (theirs, ours) = asyncio.get_running_loop(), os.pipe()
    into, out_of = asyncio.StreamReader(limit=MOST), asyncio.StreamReader(limit=MOST)
    transport, protocol = await loop.connect_write_pipe(
        lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader()), os.fdopen(ours, "wb")
    )
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    pipe = Pipe("up", into, writer, most=MOST, clock=lambda: 0.0, gone=nobody)
    running = asyncio.create_task(pipe.run(nobody, nobody))
    text = "x" * 1_000_000
    calls = [asyncio.create_task(pipe.send_raw_request("x", {"text": text})) for _ in range(20)]
    await asyncio.sleep(0)
    assert transport.get_write_buffer_size() < FULL + len(text) + 1000
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(out_of), os.fdopen(theirs, "rb"))
    for _ in calls:
        number = json.loads(await out_of.readline())["id"]
        assert transport.get_write_buffer_size() < FULL + len(text) + 1000
        into.feed_data(b'{"jsonrpc":"2.0","id":%d,"result":{"to":%d}}\n' % (number, number))
    assert [await call for call in calls] == [{"to": number} for number in range(1, 21)]
    running.cancel()
    transport.abort()


TELLS = '{"method": "notifications/message"}'


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (f"[{', '.join([TELLS] * 100)}]", 10),
        (f"[{', '.join([TELLS] * 101)}]", 10),
        (f"[{'1, ' * 100_000}1]", 10),
        ("[1, 2]", 500),
        ("[]", 10),
    ],
)
async def test_what_it_says_unasked_counts_one_by_one_in_a_batch_too(
    tmp_path: Path, line: str, lines: int
) -> None:
    """A thousand at once are allowed. A line that is no batch of one to a hundred counts as a hundred."""
    program = """
told = heard()["params"]
for _ in range(told["lines"]):
    sys.stdout.write(told["line"] + "\\n")
sys.stdout.flush()
say([{"id": heard()["id"], "result": {}}])
"""
    async with opened(tmp_path, program) as (pipe, _):
        await pipe.notify("lines", {"line": line, "lines": lines})
        assert await pipe.send_raw_request("x", None) == {}
    async with opened(tmp_path, program) as (pipe, _):
        await pipe.notify("lines", {"line": line, "lines": lines + 1})
        with pytest.raises(NoAnswer):
            await pipe.send_raw_request("x", None)
        assert pipe.why == FLOODS


async def test_a_batch_that_is_too_long_is_not_taken_apart(tmp_path: Path) -> None:
    taken = []

    def told(method: str, params: Any) -> bool:
        taken.append(method)
        return True

    program = f"""
say([{TELLS}] * 101)
say([{TELLS}] * 100)
say({{"id": heard()["id"], "result": {{}}}})
"""
    async with opened(tmp_path, program, told=told) as (pipe, _):
        await pipe.send_raw_request("x", None)
    assert len(taken) == 100

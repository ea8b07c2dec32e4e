"""Lines in and out of two pipes, whatever the pieces in which they come."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from contextvars import copy_context

import anyio
import mcp_types as mt
import pytest
from mcp.shared.message import SessionMessage

from app.doors.lines import FULL, Incoming, Outgoing

MOST = 100


class Pipes:
    """The client's ends; what the server has."""

    def __init__(self) -> None:
        inner, self.writes = os.pipe()
        self.reads, outer = os.pipe()
        self.theirs = inner, outer
        for fd in (*self.theirs, self.reads):
            os.set_blocking(fd, False)
        self.outgoing = Outgoing(outer)
        self.incoming = Incoming(inner, self.outgoing, most=MOST)

    async def rest(self) -> bytes:
        """What is to be read, once the server has ended."""
        ended, said = asyncio.ensure_future(self.outgoing.aclose()), b""
        while True:
            with contextlib.suppress(BlockingIOError):
                if chunk := os.read(self.reads, 1 << 20):
                    said += chunk
                    continue
            if ended.done():
                return said
            await asyncio.sleep(0)


@pytest.fixture
async def pipes() -> AsyncIterator[Pipes]:
    made = Pipes()
    yield made
    await made.incoming.aclose()
    with anyio.CancelScope() as now:
        now.cancel()
        await made.outgoing.aclose()
    for fd in (*made.theirs, made.writes, made.reads):
        with contextlib.suppress(OSError):
            os.close(fd)


def ping(number: int, *, length: int = 0) -> bytes:
    line = json.dumps({"jsonrpc": "2.0", "id": number, "method": "ping"}).encode()
    return line + b" " * (length - len(line))


def large(number: int) -> SessionMessage:
    return SessionMessage(mt.JSONRPCResponse(jsonrpc="2.0", id=number, result={"text": "x" * FULL}))


async def heard(pipes: Pipes) -> list[object]:
    """The numbers of the messages, None for what was none."""
    return [
        item.message.id  # type: ignore[union-attr]
        if isinstance(item, SessionMessage)
        else None
        async for item in pipes.incoming
    ]


@pytest.mark.parametrize("piece", [1, 7, 1000])
async def test_the_pieces_of_a_line_make_no_difference(pipes: Pipes, piece: int) -> None:
    said = b"\n".join(
        [ping(1), b"", b"no", ping(2, length=MOST), ping(3, length=MOST + 1), b"x" * 5000, ping(4)]
    )

    async def say() -> None:
        for start in range(0, len(said), piece):
            os.write(pipes.writes, said[start : start + piece])
            await asyncio.sleep(0)
        os.close(pipes.writes)

    numbers, _ = await asyncio.gather(heard(pipes), say())
    assert numbers == [1, None, 2, None, None, 4]
    answers = [json.loads(line) for line in (await pipes.rest()).splitlines()]
    assert [answer["id"] for answer in answers] == [None, 3, None]


async def test_what_is_given_back_comes_at_once_in_its_context_and_harms_no_line_that_has_begun(
    pipes: Pipes,
) -> None:
    context, given = copy_context(), large(7)
    lines = [ping(1), b"x" * 5000, ping(2)]
    received: list[object] = []
    for line in lines:
        os.write(pipes.writes, line[:50])
        receiving = asyncio.ensure_future(pipes.incoming.receive())
        await asyncio.sleep(0)
        pipes.incoming.give_back(given, context)
        assert await receiving is given
        assert pipes.incoming.last_context is context
        os.write(pipes.writes, line[50:] + b"\n")
        received.append(await pipes.incoming.receive())
        assert pipes.incoming.last_context is None
    assert [isinstance(item, Exception) for item in received] == [False, True, False]


async def test_a_message_that_has_begun_goes_out_whole_and_one_that_waits_can_be_cancelled(
    pipes: Pipes,
) -> None:
    await pipes.outgoing.send(large(1))
    await pipes.outgoing.send(large(2))
    waiting = asyncio.ensure_future(pipes.outgoing.send(large(3)))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait([waiting])
    assert [json.loads(line)["id"] for line in (await pipes.rest()).splitlines()] == [1, 2]


async def test_whoever_waits_for_a_reader_hears_that_there_is_none_any_more(pipes: Pipes) -> None:
    await pipes.outgoing.send(large(1))
    await pipes.outgoing.send(large(2))
    waiting = asyncio.ensure_future(pipes.outgoing.send(large(3)))
    await asyncio.sleep(0)
    os.close(pipes.reads)
    with pytest.raises(anyio.BrokenResourceError):
        await waiting
    assert await heard(pipes) == []


async def test_a_client_that_never_reads_does_not_keep_the_server(pipes: Pipes) -> None:
    await pipes.outgoing.send(large(1))
    await asyncio.wait_for(pipes.outgoing.aclose(), 5)
    with pytest.raises(anyio.BrokenResourceError):
        await pipes.outgoing.send(large(2))


async def test_what_was_not_received_when_it_ended_is_dropped(pipes: Pipes) -> None:
    os.write(pipes.writes, b"\n".join([ping(1), ping(2), ping(3)]) + b"\n")
    first = await pipes.incoming.receive()
    assert isinstance(first, SessionMessage)
    pipes.incoming.end()
    assert await heard(pipes) == []

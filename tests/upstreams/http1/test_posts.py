"""Requests of the newest protocol: what is an answer, what is progress, and what is said of neither."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import mcp_types as mt
import pytest
from mcp.shared.exceptions import MCPError

from app.upstreams.errors import OVERSIZE, TOO_LARGE, UNREACHABLE, UNUSABLE
from app.upstreams.http1 import Pool
from app.upstreams.posts import HEADERS, Posts

from .server import JSON, OK, STREAM, Server, hangs, serving, soon, then_closes

MOST = 100_000


@contextlib.contextmanager
def posts_to(server: Server, seconds: float = 10.0) -> Iterator[Posts]:
    with contextlib.closing(Pool(server.url, HEADERS, MOST)) as pool:
        yield Posts(pool, seconds)


def sized(body: bytes, status: int = 200, kind: bytes = b"application/json") -> bytes:
    head = b"HTTP/1.1 %d X\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (status, kind, len(body))
    return head + body


def event(message: Any) -> bytes:
    return b"event: message\r\ndata: " + json.dumps(message).encode() + b"\r\n\r\n"


def chunks(data: bytes, size: int) -> bytes:
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)


RESULT = {"jsonrpc": "2.0", "id": 1, "result": {"a": "ü"}}
PROGRESS = {
    "jsonrpc": "2.0",
    "method": "notifications/progress",
    "params": {"progressToken": 1, "progress": 1, "total": 2, "message": "half"},
}
REFUSED = {
    "not JSON": (sized(b"{"), mt.PARSE_ERROR, "not JSON"),
    "not text": (sized(b"\xff\xfe\xfd"), mt.PARSE_ERROR, "not JSON"),
    "deep": (sized(b"[" * 90_000), mt.PARSE_ERROR, "not JSON"),
    "no result": (sized(b"{}"), mt.PARSE_ERROR, "neither result nor error"),
    "an answer to another": (sized(b'{"id": 2, "result": {}}'), mt.PARSE_ERROR, "neither result nor error"),
    "an error of another": (
        sized(b'{"id": 2, "error": {"code": 5, "message": "no"}}'),
        mt.PARSE_ERROR,
        "neither result nor error",
    ),
    "an error": (sized(b'{"error": {"code": 5, "message": "no"}}', 400), 5, "no"),
    "a page": (sized(b"<html>", kind=b"text/html"), mt.PARSE_ERROR, "HTTP 200"),
    "accepted": (sized(b"{}", 202), mt.PARSE_ERROR, "HTTP 202"),
    "elsewhere": (
        b"HTTP/1.1 302 X\r\nLocation: http://127.0.0.1:1/\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
        mt.PARSE_ERROR,
        "HTTP 302",
    ),
    "not found": (sized(b"no", 404, b"text/plain"), mt.METHOD_NOT_FOUND, "HTTP 404"),
    "unauthorized": (sized(b"{}", 401), UNREACHABLE, "it refuses our credential (HTTP 401)"),
    "forbidden": (sized(b"{}", 403), UNREACHABLE, "it refuses our credential (HTTP 403)"),
    "too often": (sized(b"{}", 429), UNREACHABLE, "it answers HTTP 429"),
    "broken": (sized(b"{}", 500), UNREACHABLE, "it answers HTTP 500"),
    "too large": (sized(b" " * (MOST + 1)), OVERSIZE, TOO_LARGE),
    "a stream without an answer": (
        STREAM + chunks(event(PROGRESS), 10) + b"0\r\n\r\n",
        UNUSABLE,
        "its stream ended without an answer",
    ),
    "a stream of what is not JSON": (STREAM + chunks(b"data: {\n\n", 10), mt.PARSE_ERROR, "not JSON"),
}


@pytest.mark.parametrize("said", REFUSED)
async def test_what_is_no_result_says_why(said: str) -> None:
    data, code, words = REFUSED[said]
    async with serving(data, sized(json.dumps({**RESULT, "id": 2}).encode())) as server:
        with posts_to(server) as posts:
            with pytest.raises(MCPError) as problem:
                await soon(posts.send_raw_request("tools/call", {}))
            assert (problem.value.error.code, problem.value.error.message) == (code, words)
            assert await soon(posts.send_raw_request("tools/call", {})) == {"a": "ü"}
    assert b"cookie" not in server.heard[1].head.lower()


@pytest.mark.parametrize("size", [1, 7, 10_000])
async def test_progress_comes_before_the_answer_of_a_stream(size: int) -> None:
    told: list[Any] = []

    async def report(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    said = b": hello\n\n" + event(PROGRESS) + event({"method": "x"}) + event(RESULT)
    async with serving(STREAM + chunks(said, size)) as server:
        with posts_to(server) as posts:
            answer = await soon(posts.send_raw_request("tools/call", {"name": "a"}, {"on_progress": report}))
            assert await soon(server.ended.get()) == 1
    assert answer == {"a": "ü"}
    assert told == [(1, 2, "half")]
    assert json.loads(server.heard[0].body)["params"] == {"name": "a", "_meta": {"progressToken": 1}}


async def test_an_answer_counts_even_if_the_stream_breaks_off_behind_it() -> None:
    async with serving(then_closes(STREAM + chunks(event(RESULT), 10))) as server:
        with posts_to(server) as posts:
            assert await soon(posts.send_raw_request("tools/call", {})) == {"a": "ü"}


async def drips(writer: asyncio.StreamWriter) -> None:
    writer.write(JSON + b"Content-Length: 1000\r\n\r\n")
    for _ in range(1000):
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


async def streams_on(writer: asyncio.StreamWriter) -> None:
    writer.write(STREAM + chunks(event(PROGRESS), 100))
    await writer.drain()
    await hangs(writer)


@pytest.mark.parametrize("script", [drips, streams_on, hangs])
async def test_a_request_that_takes_too_long_ends_and_so_does_its_connection(script: Any) -> None:
    async with serving(script) as server:
        with posts_to(server) as posts:
            with pytest.raises(MCPError) as problem:
                await soon(posts.send_raw_request("tools/call", {}, {"timeout": 0.1}))
            assert problem.value.error.code == mt.REQUEST_TIMEOUT
        with posts_to(server, seconds=0.1) as posts, pytest.raises(MCPError):
            await soon(posts.send_raw_request("tools/list", {}))
    assert len(server.heard) == 2


async def test_cancelling_is_told_by_the_end_of_the_connection() -> None:
    async def waits_for_the_end(writer: asyncio.StreamWriter) -> None:
        """Only the end of the connection ends it."""
        writer.write(STREAM)
        with contextlib.suppress(OSError, RuntimeError):
            while True:
                writer.write(chunks(event({"method": "x"}), 1000))
                await writer.drain()
                await asyncio.sleep(0.01)

    async with serving(waits_for_the_end) as server:
        with posts_to(server) as posts:
            asking = asyncio.ensure_future(posts.send_raw_request("tools/call", {}))
            await soon(server.asked.get())
            asking.cancel()
            await asyncio.wait([asking])
            assert await soon(server.ended.get()) == 1


async def test_a_header_that_cannot_be_sent_is_said_to_be_that_and_nothing_is_sent() -> None:
    async with serving(OK) as server:
        with posts_to(server) as posts:
            with pytest.raises(MCPError, match="the header X-A would hold") as problem:
                await posts.send_raw_request("tools/call", {}, {"headers": {"X-A": "secret\nX: y"}})
            assert "secret" not in str(problem.value)
    assert not server.connections


@pytest.mark.parametrize("argument", ["\ud800", float("nan"), float("inf")])
async def test_what_is_not_json_is_not_sent(argument: Any) -> None:
    async with serving(OK) as server:
        with posts_to(server) as posts:
            with pytest.raises(MCPError, match="not JSON"):
                await soon(posts.send_raw_request("tools/call", {"name": argument}))
            assert server.connections == 0

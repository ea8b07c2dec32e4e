"""Connections: which are used again, which never are, and how each of them ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from app.upstreams.errors import BROKE_OFF
from app.upstreams.http1 import FULL, KEPT_MOST, Pool

from .pools import MOST, SECRET, pool_to, post, why_not
from .server import JSON, OK, STREAM, Said, hangs, serving, soon, then_closes

LOOP_READS = 256 * 1024  # bytes at once, at most


async def test_a_request_is_sent_as_it_is_and_in_one_piece() -> None:
    async with serving(OK) as server:
        with pool_to(server) as pool:
            assert await post(pool, b'{"a": 1}', **{"Mcp-Name": "ü"}) == b"{}"
    assert server.heard[0].body == b'{"a": 1}'
    assert server.heard[0].head.decode("latin-1").split("\r\n") == [
        "POST /mcp?x=1 HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        "Accept-Encoding: identity",
        "User-Agent: us",
        f"Authorization: Bearer {SECRET}",
        "Mcp-Name: ü",
        "Content-Length: 8",
        "",
        "",
    ]


async def test_a_header_of_the_operators_takes_the_place_of_ours_however_it_is_written() -> None:
    async with serving(OK) as server:
        headers = {"User-Agent": "us", "user-agent": "theirs", "accept-encoding": "br"}
        with contextlib.closing(Pool(server.url, headers, MOST)) as pool:
            await post(pool)
    head = server.heard[0].head.lower()
    assert (head.count(b"user-agent"), head.count(b"accept-encoding")) == (1, 1)
    assert b"user-agent: theirs\r\n" in head


async def test_the_connection_that_was_used_last_is_used_again() -> None:
    both = asyncio.Barrier(2)

    async def together(writer: asyncio.StreamWriter) -> None:
        await both.wait()
        writer.write(OK)

    async with serving(together, together, OK) as server:
        with pool_to(server) as pool:
            await asyncio.gather(post(pool), post(pool))
            assert server.connections == 2
            for _ in range(5):
                await post(pool)
    assert server.connections == 2
    assert len({request.connection for request in server.heard[2:]}) == 1


@pytest.mark.parametrize(
    "said",
    [
        then_closes(OK),
        then_closes(JSON + b"\r\n{}"),
        then_closes(JSON + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}"),
        OK + OK,
        OK + b"HTTP/1.1 2",
    ],
)
async def test_a_connection_that_ended_or_said_too_much_is_never_used_again(said: Said) -> None:
    async with serving(said, OK) as server:
        with pool_to(server) as pool:
            assert await post(pool) == b"{}"
            assert await soon(server.ended.get()) == 1
            assert await post(pool) == b"{}"
    assert [request.connection for request in server.heard] == [1, 2]


async def test_what_comes_while_nobody_asked_ends_the_connection() -> None:
    later = asyncio.Event()

    async def twice(writer: asyncio.StreamWriter) -> None:
        writer.write(OK)
        await later.wait()
        writer.write(OK.replace(b"{}", b"[]"))

    async with serving(twice, OK) as server:
        with pool_to(server) as pool:
            assert await post(pool) == b"{}"
            later.set()
            assert await soon(server.ended.get()) == 1
            assert await post(pool) == b"{}"
    assert server.connections == 2


async def test_a_connection_that_nobody_uses_is_closed_after_a_while() -> None:
    async with serving(OK) as server:
        with pool_to(server, kept=0.05) as pool:
            for number in (1, 2):
                await post(pool)
                assert await soon(server.ended.get()) == number


async def test_no_more_connections_are_kept_than_so_many() -> None:
    together = asyncio.Barrier(KEPT_MOST + 3)

    async def at_once(writer: asyncio.StreamWriter) -> None:
        await together.wait()
        writer.write(OK)

    async with serving(at_once) as server:
        with pool_to(server) as pool:
            await asyncio.gather(*(post(pool) for _ in range(KEPT_MOST + 3)))
            for _ in range(3):
                await soon(server.ended.get())
            assert len(pool.open) == KEPT_MOST
        for _ in range(KEPT_MOST):
            await soon(server.ended.get())


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 200", JSON, JSON + b"Content-Length: 3\r\n\r\n{}", b"SSH-2.0-x\r\n"]
)
async def test_a_request_that_got_no_answer_is_not_sent_again(said: bytes) -> None:
    async with serving(OK, then_closes(said), OK) as server:
        with pool_to(server) as pool:
            await post(pool)
            assert await why_not(pool) == BROKE_OFF
            assert len(server.heard) == 2
            assert await post(pool) == b"{}"


async def test_cancelling_closes_the_connection_at_once() -> None:
    async with serving(hangs) as server:
        with pool_to(server) as pool:
            asking = asyncio.ensure_future(pool.post(b"{}", {}))
            await soon(server.asked.get())
            asking.cancel()
            await asyncio.wait([asking])
            assert not pool.open
            assert asking.cancelled()


async def test_whoever_waits_when_all_is_closed_is_told() -> None:
    async with serving(hangs) as server:
        with pool_to(server) as pool:
            asking = asyncio.ensure_future(why_not(pool))
            await soon(server.asked.get())
        assert await asking == BROKE_OFF
        assert await why_not(pool) == BROKE_OFF  # nor is there a new one


async def test_a_stream_that_nobody_reads_is_not_read_ahead() -> None:
    chunk = b"%x\r\n%b\r\n" % (FULL, b"x" * FULL)
    stuck, sent = asyncio.Event(), 0

    async def endless(writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(STREAM)
        with contextlib.suppress(TimeoutError):
            while True:
                writer.write(chunk)
                sent += FULL
                await asyncio.wait_for(writer.drain(), 0.3)
        stuck.set()
        await writer.drain()
        writer.write(b"0\r\n\r\n")

    async with serving(endless, OK) as server:
        with pool_to(server) as pool:
            answer = await soon(pool.post(b"{}", {}))
            await soon(stuck.wait())
            assert FULL < len(answer.body) <= FULL + LOOP_READS
            seen = 0
            async for part in answer.parts():
                seen += len(part)
            assert seen == sent
            assert await post(pool) == b"{}"
    assert server.connections == 1


async def test_a_stream_that_is_left_is_closed_and_one_that_is_over_serves_the_next() -> None:
    whole = STREAM + b"1\r\nx\r\n0\r\n\r\n"
    async with serving(whole, STREAM + b"1\r\nx\r\n", OK) as server:
        with pool_to(server) as pool:
            (await soon(pool.post(b"{}", {}))).close()
            answer = await soon(pool.post(b"{}", {}))
            assert server.connections == 1
            answer.close()
            assert await soon(server.ended.get()) == 1
            assert await post(pool) == b"{}"
            answer.close()  # of one that is long gone: nothing of others ends
            assert await post(pool) == b"{}"
    assert server.connections == 2


async def test_an_answer_that_comes_before_all_was_sent_ends_its_connection() -> None:
    async def refuses(writer: asyncio.StreamWriter) -> None:
        writer.write(OK.replace(b"200", b"413"))
        await hangs(writer)

    async with serving(refuses, reads=False) as server:
        with pool_to(server) as pool:
            answer = await soon(pool.post(b"x" * 20_000_000, {}))
            assert answer.status == 413
            assert not pool.open


INJECTED = ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "\x7f", "€", "\ud800"]


@pytest.mark.parametrize("value", INJECTED)
async def test_nothing_can_be_slipped_into_the_head(value: str) -> None:
    async with serving(OK) as server:
        with pool_to(server) as pool:
            with pytest.raises(ValueError, match="the header X-A would hold what no header can hold"):
                await pool.post(b"{}", {"X-A": value})
            with pytest.raises(ValueError, match="a name that no header can have"):
                await pool.post(b"{}", {value: "a"})
            with pytest.raises(ValueError, match="what no header can hold"):
                Pool(server.url, {"X-A": value}, MOST)
    assert not server.connections


async def test_a_credential_is_in_no_log_and_no_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(then_closes(b""), b"HTTP/1.1 401 No\r\n\r\n", b"HTTP/1.1 \x00") as server:
        with pool_to(server) as pool:
            said = [await why_not(pool) for _ in range(3)]
            with pytest.raises(ValueError) as refused:
                await pool.post(b"{}", {"X-A": f"{SECRET}\n"})
            told = [*said, str(refused.value), repr(pool), *map(repr, pool.open)]
    assert SECRET not in caplog.text + "".join(told)

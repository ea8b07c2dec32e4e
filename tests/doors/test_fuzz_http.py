"""Bytes that are almost HTTP, or not at all: never a 5xx, never a hang, and the next request works."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.house import HOST, TestHouse

from .raw import PATIENCE, WHOAMI, Reply, chunks, closed, post, read

pytestmark = pytest.mark.asyncio(loop_scope="module")

GRACE = 0.02  # seconds for an answer, before the client says that it has nothing more to send
quick = settings(
    deadline=None,
    max_examples=100,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

tokens = st.sampled_from(
    [b"GET", b"POST", b"PRI", b"CONNECT", b"G\x00T", b"", b"post", b"DELETE", b"TRACE", b"M-SEARCH"]
)
targets = st.sampled_from(
    [
        b"/mcp",
        b"/mcp/",
        b"/healthz",
        b"/",
        b"*",
        b"//",
        b"http://x/mcp",
        b"/%00",
        b"/\xff",
        b"",
        b"/?" + b"a" * 999,
    ]
)
versions = st.sampled_from(
    [b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"http/1.1", b"", b"HTTP/1.1 x"]
)
names = st.sampled_from(
    [
        b"Host",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Content-Type",
        b"Accept",
        b"Connection",
        b"Upgrade",
        b"Expect",
        b"Origin",
        b"Cookie",
        b"Cf-Access-Jwt-Assertion",
        b"Mcp-Session-Id",
        b"Mcp-Protocol-Version",
        b"Mcp-Method",
        b"Content-Encoding",
        b"X\x00Y",
        b"",
        b" ",
    ]
)
values = st.binary(max_size=60) | st.sampled_from(
    [
        b"localhost",
        HOST.encode(),
        b"chunked",
        b"close",
        b"Upgrade, HTTP2-Settings",
        b"websocket",
        b"h2c",
        b"100-continue",
        b"application/json",
        b"application/json, text/event-stream",
        b"gzip",
        b"0",
        b"5",
        b"-1",
        b"18446744073709551616",
        b"2025-11-25",
        b"2026-07-28",
        b"a.b.c",
        b"",
    ]
)
lines = st.lists(st.tuples(names, values).map(b": ".join), max_size=8)
bodies = st.one_of(
    st.just(b""),
    st.just(WHOAMI),
    st.just(chunks(WHOAMI)),
    st.binary(max_size=200),
    st.binary(max_size=50).map(chunks),
    st.sampled_from(
        [b"ffffffffffffffff\r\nx", b"-1\r\n", b"5;x=y\r\nhello\r\n0\r\n\r\n", b"zz\r\n", b"0\r\nX: y\r\n\r\n"]
    ),
)
almost_http = st.builds(
    lambda start, head, body: b" ".join(start) + b"\r\n" + b"\r\n".join(head) + b"\r\n\r\n" + body,
    st.tuples(tokens, targets, versions),
    lines,
    bodies,
)


@pytest.mark.parametrize("door", ["lan", "tunnel"])
@quick
@given(requests=st.lists(st.binary(max_size=400) | almost_http, min_size=1, max_size=3))
async def test_any_bytes_get_a_refusal_or_a_closed_connection(
    standing: TestHouse, caplog: pytest.LogCaptureFixture, door: str, requests: list[bytes]
) -> None:
    await survives(standing, caplog, door, b"".join(requests))


@pytest.mark.parametrize("door", ["lan", "tunnel"])
@quick
@given(extra=lines, body=bodies, data=st.data())
async def test_a_good_request_with_something_odd_in_it_does_no_harm(
    standing: TestHouse,
    caplog: pytest.LogCaptureFixture,
    door: str,
    extra: list[bytes],
    body: bytes,
    data: st.DataObject,
) -> None:
    host, assertion = ("localhost", []) if door == "lan" else (HOST, [credential(standing)])
    request = bytearray(post(host, *assertion, *extra, body=body))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(request) - 1))
        request[at] = data.draw(st.integers(0, 255))
    await survives(standing, caplog, door, bytes(request))


def credential(house: TestHouse) -> bytes:
    token = house.team.session("alice@example.com", house.team.token)
    return f"Cf-Access-Jwt-Assertion: {token}".encode()


async def survives(house: TestHouse, caplog: pytest.LogCaptureFixture, door: str, request: bytes) -> None:
    replies = await exchange(house.lan if door == "lan" else house.tunnel, request)
    assert [reply.status for reply in replies if reply.status >= 500] == []
    assert [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []
    assert (await house.lan_request()).status_code == 200


async def exchange(url: str, request: bytes) -> list[Reply]:
    """Every answer until the server closes, which it must."""
    host, _, port = url.removeprefix("http://").rpartition(":")
    replies: list[Reply] = []
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                replies.append(await read(reader))
        with contextlib.suppress(OSError):
            writer.write_eof()
        while not reader.at_eof() and reader.exception() is None:
            replies.append(await read(reader))
        await closed(writer)
    return replies

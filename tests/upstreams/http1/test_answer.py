"""What is an answer, however its bytes are cut; and what is none."""

from __future__ import annotations

import asyncio

import pytest
from mcp.shared.exceptions import MCPError

from app.upstreams.answer import HEAD_MOST, HEADERS_MOST, STREAM_TIMES, Answer
from app.upstreams.errors import BROKE_OFF, TOO_LARGE, NoAnswer

MOST = 1000
OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b"Content-Type: application/json\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
ENCODED = "it encoded its answer in a way that was not asked for"

WHOLE = {
    "a length": JSON + b"Content-Length: 8\r\n\r\n{'a': 1}",
    "chunks": JSON + CHUNKED + b"3\r\n{'a\r\n4;x=y\r\n': 1\r\n001\r\n}\r\n0\r\n\r\n",
    "trailers": JSON + CHUNKED + b"8\r\n{'a': 1}\r\n0\r\nContent-Encoding: gzip\r\nX: y\r\n\r\n",
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nContent-Encoding: gzip\r\n"
    b"Content-Type: text/html\r\n\r\n" + JSON + b"Content-Length: 8\r\n\r\n{'a': 1}",
    "identity": JSON + b"Content-Encoding: identity\r\nContent-Length: 8\r\n\r\n{'a': 1}",
    "an empty header": JSON + b"Content-Encoding:\r\nContent-Length: 8\r\n\r\n{'a': 1}",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\ncontent-type:Application/JSON \r\nContent-Length: 8\r\n\r\n{'a': 1}",
}
NONE = {
    "another protocol": (b"SSH-2.0-OpenSSH_9.9\r\n", BROKE_OFF),
    "HTTP/2": (b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n", BROKE_OFF),
    "HTTP/2 frames": (b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18), BROKE_OFF),
    "a page without a head": (b"<html>", BROKE_OFF),
    "a status that is none": (b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n", BROKE_OFF),
    "another protocol from here on": (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nx",
        BROKE_OFF,
    ),
    "two lengths": (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", BROKE_OFF),
    "a length and chunks": (OK + b"Content-Length: 2\r\n" + CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", BROKE_OFF),
    "chunks and a length": (
        OK + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        BROKE_OFF,
    ),
    "a length below nothing": (OK + b"Content-Length: -1\r\n\r\n", BROKE_OFF),
    "a length beyond all": (OK + b"Content-Length: 99999999999999999999999\r\n\r\n", BROKE_OFF),
    "a chunk that is none": (OK + CHUNKED + b"xyz\r\n", BROKE_OFF),
    "a chunk longer than it says": (OK + CHUNKED + b"2\r\n{}}\r\n0\r\n\r\n", BROKE_OFF),
    "a control in a header": (OK + b"X: a\x00b\r\n\r\n", BROKE_OFF),
    "a name with a space": (OK + b"Content-Length : 0\r\n\r\n", BROKE_OFF),
    "compressed": (OK + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", ENCODED),
    "compressed twice": (
        OK + b"Content-Encoding: identity\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\n{}",
        ENCODED,
    ),
    "compressed on the way": (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", ENCODED),
    "chunked twice": (
        OK + b"Transfer-Encoding: chunked\r\n" + CHUNKED + b"2\r\n{}\r\n0\r\n\r\n",
        ENCODED,
    ),
    "too long": (OK + b"Content-Length: 1001\r\n\r\n" + b"x" * 1001, TOO_LARGE),
    "too long, in chunks": (
        OK + CHUNKED + b"64\r\n" * 1 + b"x" * 100 + b"\r\n" + b"385\r\n" + b"x" * 901,
        TOO_LARGE,
    ),
    "too many headers": (OK + b"X: y\r\n" * (HEADERS_MOST + 2), TOO_LARGE),
    "too many trailers": (OK + CHUNKED + b"0\r\n" + b"X: y\r\n" * (HEADERS_MOST + 2), TOO_LARGE),
    "a header without an end": (OK + b"X: " + b"y" * HEAD_MOST, TOO_LARGE),
    "a name without an end": (OK + b"y" * HEAD_MOST, TOO_LARGE),
    "a reason without an end": (b"HTTP/1.1 200 " + b"y" * HEAD_MOST, TOO_LARGE),
    "a chunk extension without an end": (OK + CHUNKED + b"1;x=" + b"y" * HEAD_MOST, TOO_LARGE),
    "interim answers without an end": (b"HTTP/1.1 100 Continue\r\n\r\n" * 3000, TOO_LARGE),
    "a refusal": (
        b"HTTP/1.1 401 No\r\nContent-Encoding: gzip\r\n\r\n",
        "it refuses our credential (HTTP 401)",
    ),
    "a failure": (b"HTTP/1.1 503 No\r\n\r\n", "it answers HTTP 503"),
}


class Nobody:
    """Where an answer comes from that nothing is told to."""

    def resume(self, answer: Answer) -> None: ...
    def drop(self, answer: Answer) -> None: ...


def fed(*parts: bytes) -> Answer:
    answer = Answer(Nobody(), MOST)
    for part in parts:
        if not answer.over:
            answer.feed(part)
    return answer


async def why_not(answer: Answer) -> str:
    assert answer.over
    with pytest.raises(MCPError) as problem:
        await answer.told()
    return problem.value.error.message


@pytest.mark.parametrize("said", WHOLE)
def test_an_answer_is_the_same_wherever_it_is_cut(said: str) -> None:
    data = WHOLE[said]
    for cut in range(1, len(data)):
        answer = fed(data[:cut], data[cut:])
        assert (answer.over, answer.status, answer.kind) == (True, 200, "application/json"), cut
        assert bytes(answer.body) == b"{'a': 1}"
    whole = fed(*(data[at : at + 1] for at in range(len(data))))
    assert (whole.over, bytes(whole.body)) == (True, b"{'a': 1}")


@pytest.mark.parametrize("said", NONE)
async def test_what_is_no_answer_is_none_wherever_it_is_cut(said: str) -> None:
    data, words = NONE[said]
    assert await why_not(fed(data)) == words
    assert not fed(data).keep
    for cut in range(1, min(len(data), 80)):
        assert await why_not(fed(data[:cut], data[cut:])) == words, cut


def test_a_body_without_a_length_ends_with_the_connection() -> None:
    answer = fed(JSON + b"\r\n{'a'", b": 1}")
    assert not answer.over
    answer.end()
    assert (answer.over, bytes(answer.body), answer.keep) == (True, b"{'a': 1}", False)


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 2", JSON, JSON + b"Content-Length: 3\r\n\r\n{}", JSON + CHUNKED + b"2\r\n{}\r\n"]
)
async def test_a_connection_that_ends_too_early_is_no_answer(said: bytes) -> None:
    answer = fed(*[said] if said else [])
    answer.end()
    assert not answer.over
    answer.fail(NoAnswer(code=0, message=BROKE_OFF))
    assert await why_not(answer) == BROKE_OFF


@pytest.mark.parametrize(
    ("said", "keep"),
    [
        (b"Content-Length: 2\r\n\r\n{}", True),
        (b"Content-Length: 2\r\n\r\n{}\r\n", True),
        (b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", False),
        (b"Content-Length: 2\r\n\r\n{}HTTP/1.1 200 OK\r\n", False),
        (b"Content-Length: 2\r\n\r\n{}\x00", False),
        (b"Content-Length: 2\r\n\r\n{}H", False),
    ],
)
async def test_a_connection_is_kept_only_where_the_answer_is_all_that_came(said: bytes, keep: bool) -> None:
    answer = fed(JSON + said)
    await answer.told()
    assert (bytes(answer.body), answer.keep) == (b"{}", keep)


async def test_a_stream_may_be_so_many_times_as_large_and_no_larger() -> None:
    head = OK + b"Content-Type: text/event-stream; charset=utf-8\r\n" + CHUNKED
    chunk = b"%x\r\n%b\r\n" % (MOST, b"x" * MOST)
    answer = fed(head, *[chunk] * STREAM_TIMES)
    assert answer.streams
    assert not answer.over
    answer.feed(b"1\r\nx\r\n")
    parts = answer.parts()
    assert len(await anext(parts)) == MOST * STREAM_TIMES
    with pytest.raises(MCPError, match="a larger answer"):
        await anext(parts)


async def test_whoever_waits_is_told_once_it_is_whole() -> None:
    answer = fed(JSON + b"Content-Length: 2\r\n\r\n")
    waiting = asyncio.ensure_future(answer.told())
    await asyncio.wait([waiting], timeout=0)
    answer.tell()
    assert not waiting.done()
    answer.feed(b"{}")
    answer.tell()
    await waiting

"""A line that is too large: what is read of it, and whose answer it was."""

from __future__ import annotations

import asyncio

import pytest

from app.upstreams.oversize import ENDS, TIMES, number_in, read_away

MOST = 1000
LONG = b"x" * 20 * MOST
ANSWERS = {
    b'{"jsonrpc":"2.0","id":7,"result":{"text":"%s"}}': 7,
    b'{ "id": 7, "jsonrpc": "2.0", "result": {"text": "%s"}}': 7,
    b'{"result":{"text":"%s"},"jsonrpc":"2.0","id":7}': 7,
    b'{"result":{"text":"%s"},"id":7,"jsonrpc":"2.0"}': 7,
    b'{"jsonrpc":"2.0","result":{"text":"%s","id":7}}': None,
    b'{"jsonrpc":"2.0","result":{"id":7,"text":"%s"}}': None,
    b'{"result":{"id":7,"text":"%s"},"jsonrpc":"2.0","id":8}': 8,
    b'{"jsonrpc":"2.0","method":"notifications/message","params":{"data":"%s\\",\\"id\\":7}"}}': None,
    b'{"jsonrpc":"2.0","id":"7","result":{"text":"%s"}}': None,
    b'{"id":7,"error":{"code":1,"message":"%s"}}': 7,
    b'{"error":{"code":1,"message":"%s"},"id":7}': 7,
}


async def skipped(*parts: bytes) -> tuple[int | None, bytes]:
    """Its number, and the next line."""
    reader = asyncio.StreamReader(limit=MOST)
    for part in parts:
        reader.feed_data(part)
    reader.feed_data(b"\nnext\n")
    reader.feed_eof()
    with pytest.raises(asyncio.LimitOverrunError) as larger:
        await reader.readuntil(b"\n")
    return await read_away(reader, larger.value.consumed, 20 * MOST), await reader.readuntil(b"\n")


@pytest.mark.parametrize("answer", ANSWERS)
async def test_its_number_is_told_where_nothing_inside_can_be_mistaken_for_it(answer: bytes) -> None:
    line = answer % LONG
    for size in (len(line), 700, ENDS // 3):
        parts = [line[at : at + size] for at in range(0, len(line), size)]
        assert await skipped(*parts) == (ANSWERS[answer], b"next\n")


async def test_a_line_without_an_end_is_not_read_for_ever() -> None:
    reader = asyncio.StreamReader(limit=MOST)
    reader.feed_data(b"x" * (TIMES + 2) * MOST)
    with pytest.raises(asyncio.LimitOverrunError):
        await read_away(reader, MOST, MOST)


async def test_the_end_of_the_output_in_it_is_told() -> None:
    reader = asyncio.StreamReader(limit=MOST)
    reader.feed_data(LONG)
    reader.feed_eof()
    with pytest.raises(asyncio.IncompleteReadError):
        await read_away(reader, MOST, 20 * MOST)


def test_a_short_head_is_read_once() -> None:
    assert number_in(b'{"id":1,"result":', b'x"}') == 1


@pytest.mark.parametrize(
    "request_of_its_own",
    [
        b'{"jsonrpc":"2.0","id":7,"method":"sampling/createMessage","params":{"text":"%s"}}',
        b'{"id":7,"jsonrpc":"2.0","method":"sampling/createMessage","params":{"text":"%s"}}',
        b'{"id":7,"params":{"text":"%s"},"method":"sampling/createMessage"}',
        b'{"jsonrpc":"2.0","method":"sampling/createMessage","params":{"text":"%s"},"id":7}',
        b'{"method":"sampling/createMessage","params":{"text":"%s"},"id":7,"jsonrpc":"2.0"}',
        b'{"params":{"text":"%s"},"method":"sampling/createMessage","id":7}',
    ],
)
async def test_what_it_asks_of_us_is_nobodys_answer(request_of_its_own: bytes) -> None:
    assert await skipped(request_of_its_own % LONG) == (None, b"next\n")

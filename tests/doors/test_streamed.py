"""A call that takes its time: JSON while it is quick, a stream with a sign of life once it is not."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from app.doors.http import Message, Receive, Scope, Send
from app.doors.streamed import Streamed

Era = list[tuple[bytes, bytes]]
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "slow_think", "arguments": {}}}
ANSWER = b'{"jsonrpc":"2.0","id":1,"result":{}}'
NEWEST, OLDER = [(b"mcp-name", b"slow_think")], [(b"mcp-protocol-version", b"2025-11-25")]
both = pytest.mark.parametrize("era", [NEWEST, OLDER], ids=["newest", "older"])


class Asked:
    """One request to an app that answers when `done` is set."""

    def __init__(self, era: Era, *, call: dict[str, Any] = CALL, accepts: bytes = b"") -> None:
        self.done, self.ended = asyncio.Event(), asyncio.Event()
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.hung_up = asyncio.Event()
        self._body: list[Message] = [{"type": "http.request", "body": json.dumps(call).encode()}]
        accept = (b"accept", accepts or b"application/json, text/event-stream")
        self.scope: Scope = {"type": "http", "method": "POST", "headers": [accept, *era]}

    async def plain(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            while (await receive()).get("more_body"):
                pass
            await self.done.wait()
            head = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": head})
            await send({"type": "http.response.body", "body": ANSWER})
        finally:
            self.ended.set()

    async def streaming(self, scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("nobody asked for progress")

    async def receive(self) -> Message:
        if self._body:
            return self._body.pop()
        await self.hung_up.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.put_nowait(message)

    def begin(self, *, ping: float, streams: str = "slow_think") -> asyncio.Task[None]:
        app = Streamed(self.plain, self.streaming, streams.__eq__, ping=ping)
        return asyncio.create_task(app(self.scope, self.receive, self.send))


@both
async def test_a_quick_answer_is_json(era: Era) -> None:
    asked = Asked(era)
    asked.done.set()
    await asked.begin(ping=60)
    head, body = asked.sent.get_nowait(), asked.sent.get_nowait()
    assert dict(head["headers"])[b"content-type"] == b"application/json"
    assert body["body"] == ANSWER


@both
async def test_a_slow_one_is_a_stream_with_signs_of_life_and_the_same_answer(era: Era) -> None:
    asked = Asked(era)
    task = asked.begin(ping=0.01)
    head = await asked.sent.get()
    assert dict(head["headers"])[b"content-type"] == b"text/event-stream"
    for _ in range(3):
        assert (await asked.sent.get())["body"] == b": ping\r\n\r\n"
    asked.done.set()
    await task
    said = [asked.sent.get_nowait() for _ in range(asked.sent.qsize())]
    assert said[-1]["body"] == b"event: message\r\ndata: " + ANSWER + b"\r\n\r\n"
    assert not said[-1].get("more_body", False)


@both
@pytest.mark.parametrize(
    ("call", "accepts", "streams"),
    [
        (CALL, b"application/json", "slow_think"),  # a client that reads no stream
        (CALL, b"", "another"),  # a tool of ours
        ({**CALL, "method": "tools/list", "params": {}}, b"", ""),
        ({**CALL, "params": {"name": ["slow_think"]}}, b"", "slow_think"),
    ],
)
async def test_everything_else_waits_for_its_json(
    era: Era, call: dict[str, Any], accepts: bytes, streams: str
) -> None:
    if era is NEWEST and call["method"] == "tools/call" and isinstance(call["params"]["name"], list):
        return  # there the header says which tool it is
    asked = Asked(era, call=call, accepts=accepts)
    task = asked.begin(ping=0.01, streams=streams)
    await asyncio.wait({task}, timeout=0.05)
    assert asked.sent.empty()
    asked.done.set()
    await task
    assert (asked.sent.get_nowait())["type"] == "http.response.start"


async def test_hanging_up_ends_the_call_in_the_newest_protocol_alone() -> None:
    newest, older = Asked(NEWEST), Asked(OLDER)
    ending, going_on = newest.begin(ping=60), older.begin(ping=60)
    for asked in (newest, older):
        asked.hung_up.set()
    await ending
    assert newest.ended.is_set()
    assert newest.sent.empty()
    await asyncio.wait({going_on}, timeout=0.05)
    assert not older.ended.is_set()
    older.done.set()
    await going_on
    assert older.sent.qsize() == 2

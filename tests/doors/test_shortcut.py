"""Which requests are plain calls, and what becomes of all others: they go the SDK's way as they came."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from app.doors.http import Message, Receive, Scope, Send
from app.doors.shortcut import Shortcut, by_post

PROTOCOL = "io.modelcontextprotocol/protocolVersion"
ABLE = "io.modelcontextprotocol/clientCapabilities"
PLAIN: dict[str, Any] = {
    "jsonrpc": "2.0",
    "id": 7,
    "method": "tools/call",
    "params": {"name": "up_echo", "arguments": {"text": "x"}, "_meta": {PROTOCOL: "2026-07-28", ABLE: {}}},
}
HEAD = {
    b"content-type": b"application/json; charset=utf-8",
    b"accept": b"application/json, text/event-stream",
    b"mcp-protocol-version": b"2026-07-28",
    b"mcp-method": b"tools/call",
    b"mcp-name": b"up_echo",
}
ANSWER = {"jsonrpc": "2.0", "id": 7, "result": {"content": []}}

# What is changed: a header, None for one that is not there; or a place in the message.
ODD_HEADS: dict[str, dict[bytes, bytes | None]] = {
    "another version": {b"mcp-protocol-version": b"2025-11-25"},
    "no version": {b"mcp-protocol-version": None},
    "another method": {b"mcp-method": b"tools/list"},
    "another name": {b"mcp-name": b"up_other"},
    "an encoded name": {b"mcp-name": b"=?base64?dXBfZWNobw==?="},
    "an argument in a header": {b"mcp-param-text": b"x"},
    "another type": {b"content-type": b"text/plain"},
    "no type": {b"content-type": None},
    "an answer that is no JSON": {b"accept": b"text/event-stream"},
    "an answer that is nearly JSON": {b"accept": b"application/jsonx, text/event-stream"},
}
ODD_MESSAGES: dict[str, tuple[tuple[str, ...], Any]] = {
    "a notification": (("id",), None),
    "an id that is none": (("id",), True),
    "an id of another kind": (("id",), 1.5),
    "another JSON-RPC": (("jsonrpc",), "1.0"),
    "something more": (("more",), 1),
    "another method": (("method",), "tools/list"),
    "no parameters": (("params",), None),
    "another name": (("params", "name"), "up_other"),
    "a name that is none": (("params", "name"), 5),
    "half a letter for a name": (("params", "name"), "\ud800"),
    "an answer to a question": (("params", "inputResponses"), {}),
    "a state": (("params", "requestState"), "x"),
    "no envelope": (("params", "_meta"), None),
    "another version": (("params", "_meta", PROTOCOL), "2025-11-25"),
    "a version that is none": (("params", "_meta", PROTOCOL), 5),
    "no version in the envelope": (("params", "_meta", PROTOCOL), None),
    "no capabilities": (("params", "_meta", ABLE), None),
    "a version of the tool": (("params", "_meta", "fastmcp"), {"version": "1"}),
}


def head(changes: dict[bytes, bytes | None] | None = None) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, value in {**HEAD, **(changes or {})}.items() if value is not None]


def changed(place: tuple[str, ...], value: Any) -> bytes:
    message = copy.deepcopy(PLAIN)
    *ways, last = place
    inside = message
    for way in ways:
        inside = inside[way]
    if value is None:
        del inside[last]
    else:
        inside[last] = value
    return json.dumps(message).encode()


def test_a_plain_call_is_known() -> None:
    assert by_post(head(), json.dumps(PLAIN).encode()) == PLAIN


@pytest.mark.parametrize("name", ODD_HEADS)
def test_a_head_that_is_odd_is_not_for_us(name: str) -> None:
    assert by_post(head(ODD_HEADS[name]), json.dumps(PLAIN).encode()) is None


@pytest.mark.parametrize("name", HEAD)
def test_a_header_that_is_there_twice_is_not_for_us(name: bytes) -> None:
    assert by_post([*head(), (name, HEAD[name])], json.dumps(PLAIN).encode()) is None


@pytest.mark.parametrize("name", ODD_MESSAGES)
def test_a_message_that_is_odd_is_not_for_us(name: str) -> None:
    assert by_post(head(), changed(*ODD_MESSAGES[name])) is None


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_what_is_no_message_is_not_for_us(body: bytes) -> None:
    assert by_post(head(), body) is None


class Exchange:
    """One request to a Shortcut, in two parts, and what comes of it. `plain`: what went the SDK's way."""

    def __init__(self, body: bytes) -> None:
        self.parts = [body[:5], body[5:]]
        self.hangs_up = False
        self.plain = b""
        self.sent: list[Message] = []

    async def of(self, answer: dict[str, Any] | None) -> None:
        async def known(_: dict[str, Any]) -> dict[str, Any] | None:
            return answer

        scope: Scope = {"type": "http", "method": "POST", "headers": head()}
        await Shortcut(self._plain, known)(scope, self._receive, self._send)

    async def _plain(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.plain = b""
                return
            self.plain += message["body"]
            more = message.get("more_body", False)

    async def _receive(self) -> Message:
        if self.hangs_up and len(self.parts) < 2:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.parts.pop(0), "more_body": bool(self.parts)}

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


async def test_what_is_known_is_answered_with_its_length() -> None:
    exchange = Exchange(json.dumps(PLAIN).encode())
    await exchange.of(ANSWER)
    start, body = exchange.sent
    assert (start["status"], json.loads(body["body"]), exchange.plain) == (200, ANSWER, b"")
    assert dict(start["headers"])[b"content-length"] == str(len(body["body"])).encode()


async def test_what_was_cut_off_is_not_for_us() -> None:
    exchange = Exchange(json.dumps(PLAIN).encode())
    exchange.hangs_up = True
    await exchange.of(ANSWER)
    assert (exchange.plain, exchange.sent) == (b"", [])


async def test_an_error_has_the_status_that_the_sdk_gives_it() -> None:
    exchange = Exchange(json.dumps(PLAIN).encode())
    await exchange.of({"jsonrpc": "2.0", "id": 7, "error": {"code": -32602, "message": "no"}})
    assert exchange.sent[0]["status"] == 400


@pytest.mark.parametrize("body", [json.dumps(PLAIN).encode(), b"{not JSON}"])
async def test_what_is_not_answered_goes_on_as_it_came(body: bytes) -> None:
    exchange = Exchange(body)
    await exchange.of(None)
    assert (exchange.plain, exchange.sent) == (body, [])

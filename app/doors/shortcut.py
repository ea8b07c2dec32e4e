"""A `tools/call` of the newest protocol in its plain shape: answered by whoever can, past the SDK's chain.

Whatever is out of the ordinary in a request, or in how it has to be answered, goes the SDK's way, which also
says what is wrong with it.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from mcp.shared.inbound import ERROR_CODE_HTTP_STATUS
from mcp_types import CLIENT_CAPABILITIES_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from app.doors.bodies import again, read_body, whole
from app.doors.http import App, Headers, Receive, Scope, Send

METHOD = "tools/call"
Answer = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None]]  # of a message; None: the SDK's way

_JSON = b"application/json"
_MESSAGE = {"jsonrpc", "id", "method", "params"}
_PARAMS = {"name", "arguments", "_meta"}
_ONCE = (b"mcp-protocol-version", b"mcp-method", b"mcp-name", b"accept", b"content-type")
_VERSIONS = {version.encode(): version for version in MODERN_PROTOCOL_VERSIONS}


class Shortcut:
    """ASGI, in front of `plain`: POSTs that name a tool in a header."""

    def __init__(self, plain: App, answer: Answer) -> None:
        self._plain, self._answer = plain, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await read_body(receive)
        message = by_post(scope["headers"], text) if (text := whole(body)) is not None else None
        answer = None if message is None else await self._answer(message)
        if answer is None:
            await self._plain(scope, again(body, receive), send)
            return
        code = answer["error"]["code"] if "error" in answer else 0
        content = json.dumps(answer, separators=(",", ":")).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send(
            {
                "type": "http.response.start",
                "status": ERROR_CODE_HTTP_STATUS.get(code, 200),
                "headers": headers,
            }
        )
        await send({"type": "http.response.body", "body": content})


def by_post(headers: Headers, body: bytes) -> dict[str, Any] | None:
    """The message, if head and body are plain and say the same (2026-07-28, Streamable HTTP, "Headers")."""
    head = _head(headers)
    version = _VERSIONS.get(head.get(b"mcp-protocol-version", b""))
    if version is None or head.get(b"mcp-method") != METHOD.encode() or not _json_both_ways(head):
        return None
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not is_plain(message) or message["params"]["_meta"].get(PROTOCOL_VERSION_META_KEY) != version:
        return None
    name: str = message["params"]["name"]  # others than of ASCII are encoded in the header
    return message if name.isascii() and name.encode() == head.get(b"mcp-name") else None


def is_plain(message: Any) -> bool:
    """Whether it is a call with nothing but a name, arguments and an envelope, not that these are right."""
    if not isinstance(message, dict) or message.keys() != _MESSAGE or message["method"] != METHOD:
        return False
    params, number = message["params"], message["id"]
    if message["jsonrpc"] != "2.0" or isinstance(number, bool) or not isinstance(number, str | int):
        return False
    if (
        not isinstance(params, dict)
        or not params.keys() <= _PARAMS
        or not isinstance(params.get("name"), str)
    ):
        return False
    meta = params.get("_meta")
    # `fastmcp` asks for a version of the tool.
    return isinstance(meta, dict) and CLIENT_CAPABILITIES_META_KEY in meta and "fastmcp" not in meta


def _head(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[bytes, bytes]:
    """By name; nothing at all where one that matters is there twice, or one stands for an argument."""
    head: dict[bytes, bytes] = {}
    for name, value in headers:
        if (name in _ONCE and name in head) or name.startswith(b"mcp-param-"):
            return {}
        head[name] = value
    return head


def _json_both_ways(head: Mapping[bytes, bytes]) -> bool:
    accepted = [_media_type(one) for one in head.get(b"accept", b"").split(b",")]
    return _JSON in accepted and _media_type(head.get(b"content-type", b"")) == _JSON


def _media_type(value: bytes) -> bytes:
    return value.partition(b";")[0].strip().lower()

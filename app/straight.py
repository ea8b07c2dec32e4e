"""Calls of upstreams' tools: through the gate, and past what FastMCP does for tools of its own.

It makes contexts, chains and models of a call; what an upstream answers is for the wire already.
"""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import mcp_types as mt
from fastmcp.exceptions import ToolError
from fastmcp.server.telemetry import server_span
from mcp.server.context import ServerRequestContext
from mcp.server.runner import modern_error_data
from mcp_types import methods
from pydantic import ValidationError

from app.doors.shortcut import METHOD
from app.gate import Gate
from app.mcp_server import is_untraced
from app.upstreams.asking import Asking
from app.upstreams.components import UpstreamTool

log = logging.getLogger("brain.upstreams")

ENVELOPE_MOST = 4096  # characters of what a client says of itself in every request
# For the SDK's chain, by the request of a door, and in it the number and the tool: an answer to be sealed.
_answered: ContextVar[dict[tuple[str, Any, str], dict[str, Any]] | None] = ContextVar(
    "answered", default=None
)


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """What an upstream's answer depends on, of a request of the newest protocol."""

    meta: dict[str, Any]
    request_id: str | int
    protocol_version: str
    session: None = None


class Straight:
    """`server`: its name, for those who trace calls. `stamp`: what it says of itself in every result."""

    def __init__(self, gate: Gate, server: str, stamp: dict[str, Any]) -> None:
        self._gate, self._server, self._stamp = gate, server, {mt.SERVER_INFO_META_KEY: stamp}
        self._traces = not is_untraced()

    async def reply(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """The JSON-RPC answer to a plain call (`app.doors.shortcut`), as the SDK's chain would make it.

        None: it is for that chain, in this very context: it may find its answer there, to be sealed and sent.
        """
        number, params = message["id"], message["params"]
        meta = params["_meta"]
        request = PlainRequest(meta, number, meta[mt.PROTOCOL_VERSION_META_KEY])
        tool = await self._gate.tool(params["name"])
        if not isinstance(tool, UpstreamTool) or tool.by_headers:
            return None
        if not _is_right(request.protocol_version, params):
            return None
        asked = mt.CallToolRequestParams.model_construct(name=tool.name, arguments=params.get("arguments"))
        try:
            result = await self._answer(tool, request, asked)
            if result["resultType"] == "input_required":  # its state is sealed there
                _answered.set({(self._gate.request_id, number, tool.name): result})
                return None
            shaped = {name: value for name, value in result.items() if value is not None}
        except Exception as problem:
            error = modern_error_data(problem).model_dump(mode="json", by_alias=True, exclude_none=True)
            return {"jsonrpc": "2.0", "id": number, "error": error}
        return {"jsonrpc": "2.0", "id": number, "result": {**shaped, "_meta": self._stamp}}

    async def __call__(
        self, context: ServerRequestContext[Any, Any], asked: mt.CallToolRequestParams
    ) -> dict[str, Any] | None:
        """The result on the wire; None: the tool is not an upstream's."""
        key = (self._gate.request_id, context.request_id, asked.name)
        if (answered := (_answered.get() or {}).pop(key, None)) is not None:
            return answered
        tool = await self._gate.tool(asked.name)
        if not isinstance(tool, UpstreamTool):
            return None
        return await self._answer(tool, context, asked)

    async def _answer(
        self, tool: UpstreamTool, context: Asking, asked: mt.CallToolRequestParams
    ) -> dict[str, Any]:
        try:
            return await self._gate.call(
                asked.name, tool, asked.arguments or {}, lambda: self._called(tool, asked, context)
            )
        except ToolError as refused:
            content = [{"type": "text", "text": str(refused)}]
            return {"content": content, "isError": True, "resultType": "complete"}

    async def _called(
        self, tool: UpstreamTool, asked: mt.CallToolRequestParams, context: Asking
    ) -> dict[str, Any]:
        name = asked.name
        with self._span(tool):
            try:
                return await tool.call(asked, context)
            except ToolError:
                raise
            except Exception as problem:  # of ours: told in the words that FastMCP has for its own
                log.exception("the call of %r failed", name)
                raise ToolError(f"Error calling tool {name!r}") from problem

    @contextlib.contextmanager
    def _traced(self, tool: UpstreamTool) -> Iterator[None]:
        """As FastMCP does it for its own."""
        name = tool.name
        with server_span(f"{METHOD} {name}", METHOD, self._server, "tool", name, tool_name=name) as span:
            span.set_attributes(tool.get_span_attributes())
            yield

    def _span(self, tool: UpstreamTool) -> contextlib.AbstractContextManager[None]:
        return self._traced(tool) if self._traces else contextlib.nullcontext()


def _is_right(version: str, params: dict[str, Any]) -> bool:
    """What the SDK says of the parameters of a plain call. Its client's envelope is the same in every one."""
    if not isinstance(params.get("arguments", {}), dict):
        return False
    envelope = {key: value for key, value in params["_meta"].items() if key != "progressToken"}
    token = params["_meta"].get("progressToken", 0)
    if isinstance(token, bool) or not isinstance(token, str | int):
        return False
    text = json.dumps(envelope)
    return _is_envelope(version, text) if len(text) <= ENVELOPE_MOST else False


@lru_cache(maxsize=256)
def _is_envelope(version: str, text: str) -> bool:
    params = {"name": "x", "arguments": {}, "_meta": json.loads(text)}
    try:
        methods.validate_client_request(METHOD, version, params)
    except (ValidationError, KeyError, ValueError):
        return False
    return True

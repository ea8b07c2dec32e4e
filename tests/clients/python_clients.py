"""FastMCP's client and the Python SDK's, in the modes that they have."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, cast

import fastmcp
import mcp_types as mt
from fastmcp.client.transports import ClientTransport, SSETransport, StdioTransport, StreamableHttpTransport
from mcp.client._transport import Transport
from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client

from .story import Answer, Session
from .ways import SSE, Way

Mode = Literal["auto", "legacy"]


def answer_of(content: Sequence[object], data: object, *, error: bool) -> Answer:
    text = "\n".join(block.text for block in content if isinstance(block, mt.TextContent))
    return Answer(error, text, cast(Mapping[str, Any], data or {}))


class FastMCPSession:
    def __init__(self, client: fastmcp.Client[Any]) -> None:
        self._client = client
        self.protocol = client.protocol_version or ""

    async def tools(self) -> Sequence[str]:
        return [tool.name for tool in await self._client.list_tools()]

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        got = await self._client.call_tool(tool, dict(arguments), raise_on_error=False)
        return answer_of(got.content, got.structured_content, error=got.is_error)


class SDKSession:
    def __init__(self, client: Client) -> None:
        self._client = client
        self.protocol = client.protocol_version or ""

    async def tools(self) -> Sequence[str]:
        return [tool.name for tool in (await self._client.list_tools()).tools]

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        got = await self._client.call_tool(tool, dict(arguments))
        return answer_of(got.content, got.structured_content, error=bool(got.is_error))


@contextlib.asynccontextmanager
async def fastmcp_client(way: Way, mode: Mode) -> AsyncIterator[Session]:
    transport: ClientTransport
    if way.command:
        command, *args = way.command
        transport = StdioTransport(command, args, env=dict(way.env), cwd=str(way.folder), keep_alive=False)
    elif way.name == SSE:
        transport = SSETransport(way.url)
    else:
        transport = StreamableHttpTransport(way.url, headers=dict(way.headers))
    async with fastmcp.Client(transport, mode=mode) as client:
        yield FastMCPSession(client)


@contextlib.asynccontextmanager
async def sdk_client(way: Way, mode: Mode) -> AsyncIterator[Session]:
    async with contextlib.AsyncExitStack() as stack:
        server: Transport | StdioServerParameters
        if way.command:
            command, *args = way.command
            server = StdioServerParameters(command=command, args=args, env=dict(way.env), cwd=way.folder)
        elif way.name == SSE:
            server = sse_client(way.url)
        else:
            http = await stack.enter_async_context(create_mcp_http_client(headers=dict(way.headers)))
            server = streamable_http_client(way.url, http_client=http)
        yield SDKSession(await stack.enter_async_context(Client(server, mode=mode)))

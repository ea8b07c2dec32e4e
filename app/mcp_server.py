"""The MCP server object: FastMCP, with what we never use taken out of the way of a call.

The only place that touches FastMCP's private attributes; `tests/gate/test_mcp_server.py` fails when
they move.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import fastmcp
from fastmcp import FastMCP
from fastmcp.server.completions import CompletionHandler
from fastmcp.server.providers import Provider
from fastmcp.tools import Tool
from fastmcp.utilities.versions import VersionSpec
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp_types import CallToolRequestParams

from app import __version__

INSTRUCTIONS = (
    "The Brain keeps notes. `search` finds them, `fetch` reads one, `create_note` and `append_note` write. "
    "Deleting can be undone, every change is kept. `whoami` says what you may use."
)
WITHOUT_NOTES = "The tools of several MCP servers. `whoami` says what you may use."


class _NoState:
    """No session hides or keeps anything: FastMCP asks per call, and would load a key-value store for it."""

    async def get(self, key: str) -> None:
        return None


class BrainServer(FastMCP):
    """Tools that were added to it are found without asking providers, versions and sessions.

    `others`: finds tools that come and go, as those of upstreams do.
    """

    _state_store = _NoState()  # type: ignore[assignment]

    def __init__(self, name: str, **options: Any) -> None:
        self._own_tools: dict[str, Tool] = {}
        self.others: Callable[[str], Tool | None] = lambda _: None
        super().__init__(name, **options)

    async def get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        if version is not None:
            return await super().get_tool(name, version)
        if (known := self._own_tools.get(name) or self.others(name)) is not None:
            return known  # `others` never finds what goes by the name of an own one
        own = await self.local_provider.get_tool(name)
        if own is None:
            return await super().get_tool(name)
        self._own_tools[name] = own
        return own


def new_server() -> BrainServer:
    """An empty server with the project's choices; identity is the doors' business, never FastMCP's."""
    # Spans that nobody collects cost a tenth of a request; "off" would still gather their attributes.
    if is_untraced():
        fastmcp.settings.telemetry_mode = "propagation_only"
    return BrainServer(
        "Brain",
        instructions=INSTRUCTIONS,
        version=__version__,
        auth=None,
        mask_error_details=True,
        dereference_schemas=False,
        # Lists differ from person to person, and a policy change counts within one second.
        cache_ttl=1,
        cache_scope="private",
    )


def is_untraced() -> bool:
    """Nobody collects spans, by the variables of OpenTelemetry."""
    return "OTEL_EXPORTER_OTLP_ENDPOINT" not in os.environ and "OTEL_TRACES_EXPORTER" not in os.environ


@contextlib.asynccontextmanager
async def lowlevel(server: FastMCP) -> AsyncIterator[tuple[Server[Any], Any]]:
    """The SDK's server inside a FastMCP object, and the state of its lifespan, which is entered."""
    low = server._mcp_server
    async with low.lifespan(low) as state:
        yield low, state


def is_own(server: FastMCP, name: str) -> bool:
    """Whether a tool of this name was added to the server itself."""
    return any(
        isinstance(one, Tool) and one.name == name for one in server._local_provider._components.values()
    )


def completion_handler(server: FastMCP) -> CompletionHandler | None:
    return server._completion_handler


def mount(server: FastMCP, others: Provider, find: Callable[[str], Tool | None]) -> None:
    """Tools that come and go, behind those of `server` itself."""
    server.add_provider(others)
    if isinstance(server, BrainServer):
        server.others = find


def stamp(server: FastMCP) -> dict[str, Any]:
    """What it says of itself in every result of the newest protocol."""
    return server._mcp_server.server_info_stamp


def answer_calls(
    server: FastMCP,
    first: Callable[
        [ServerRequestContext[Any, Any], CallToolRequestParams], Awaitable[dict[str, Any] | None]
    ],
) -> None:
    """`first` may answer a `tools/call`, as it stands on the wire; FastMCP answers what it leaves (None).

    Checked before and shaped afterwards by the SDK all the same, and sealed by its boundary.
    """
    low = server._mcp_server
    ordinary = cast(Any, low.get_request_handler("tools/call")).handler

    async def call(context: ServerRequestContext[Any, Any], params: CallToolRequestParams) -> Any:
        answer = await first(context, params)
        return await ordinary(context, params) if answer is None else answer

    low.add_request_handler("tools/call", CallToolRequestParams, call)

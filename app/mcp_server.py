"""The MCP server object: FastMCP, with what we never use taken out of the way of a call.

The only place that touches FastMCP's private attributes; `tests/server/test_mcp_server.py` fails when
they move.
"""

from __future__ import annotations

import os
from typing import Any

import fastmcp
from fastmcp import FastMCP
from fastmcp.tools import Tool
from fastmcp.utilities.versions import VersionSpec

from app import __version__

INSTRUCTIONS = (
    "The Brain keeps notes. `search` finds them, `fetch` reads one, `create_note` and `append_note` write. "
    "Deleting can be undone, every change is kept. `whoami` says what you may use."
)


class _NoState:
    """No session hides or keeps anything: FastMCP asks per call, and would load a key-value store for it."""

    async def get(self, key: str) -> None:
        return None


class BrainServer(FastMCP):
    """Tools that were added to it are found without asking providers, versions and sessions."""

    _state_store = _NoState()  # type: ignore[assignment]

    def __init__(self, name: str, **options: Any) -> None:
        self._own_tools: dict[str, Tool] = {}
        super().__init__(name, **options)

    async def get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        if version is not None:
            return await super().get_tool(name, version)
        own = self._own_tools.get(name) or await self.local_provider.get_tool(name)
        if own is None:
            return await super().get_tool(name)
        self._own_tools[name] = own
        return own


def new_server() -> BrainServer:
    """An empty server with the project's choices; identity is the doors' business, never FastMCP's."""
    # Spans that nobody collects cost a tenth of a request; "off" would still gather their attributes.
    if "OTEL_EXPORTER_OTLP_ENDPOINT" not in os.environ and "OTEL_TRACES_EXPORTER" not in os.environ:
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

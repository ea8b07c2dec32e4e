"""An upstream in this process: a FastMCP object of the operator's own file, called without a transport.

Its code runs with our rights. What a caller sent does not reach it, because its calls run in a context of
their own; our variables do not, because `forget_variables` takes them out of the environment.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import sys
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import Any

import anyio
import mcp_types as mt
from fastmcp import FastMCP
from mcp.server.runner import modern_on_request
from mcp.shared.direct_dispatcher import DirectDispatcher, create_direct_dispatcher_pair
from mcp.shared.dispatcher import OnRequest
from mcp.shared.exceptions import MCPError

from app.mcp_server import lowlevel
from app.upstreams.credentials import located
from app.upstreams.entries import Python
from app.upstreams.errors import UpstreamDown

log = logging.getLogger("brain.upstreams")


@contextlib.asynccontextmanager
async def in_process(name: str, target: Python, folder: Path) -> AsyncIterator[DirectDispatcher]:
    """The client's end. Raises UpstreamDown when the file cannot be loaded; the log says why."""
    server = _load(name, located(folder, target.file), target.name)
    async with lowlevel(server) as (low, state), anyio.create_task_group() as tasks:
        ours, theirs = create_direct_dispatcher_pair(raise_handler_exceptions=False)
        await tasks.start(theirs.run, _staying(modern_on_request(low, state)), _no_notifications)
        try:
            yield ours
        finally:
            theirs.close()
            tasks.cancel_scope.cancel()


def forget_variables(names: Iterable[str]) -> None:
    """Takes variables out of the environment of this process: settings are read by now."""
    for name in names:
        os.environ.pop(name, None)


def _load(name: str, file: Path, attribute: str) -> FastMCP:
    module_name = f"brain_upstream_{name.replace('-', '_')}"
    try:
        spec = importlib.util.spec_from_file_location(module_name, file)
        if spec is None or spec.loader is None or not file.is_file():
            raise UpstreamDown(f"there is no {file.name}")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        if str(file.parent) not in sys.path:
            sys.path.append(str(file.parent))  # for what it imports from beside it
        spec.loader.exec_module(module)
        server: Any = getattr(module, attribute)
    except UpstreamDown:
        raise
    except AttributeError:
        raise UpstreamDown(f"{file.name} has no `{attribute}`") from None
    except (Exception, SystemExit, KeyboardInterrupt) as problem:
        log.exception("upstream %s: %s cannot be loaded", name, file)
        raise UpstreamDown(f"{file.name} cannot be loaded: {type(problem).__name__}") from None
    if not isinstance(server, FastMCP):
        raise UpstreamDown(f"`{attribute}` of {file.name} is not a FastMCP server")
    return server


def _staying(handler: OnRequest) -> OnRequest:
    """A tool that calls sys.exit ends its call, not the server."""

    async def handle(context: Any, method: str, params: Mapping[str, Any] | None) -> dict[str, Any]:
        try:
            return await handler(context, method, params)
        except (SystemExit, KeyboardInterrupt):
            raise MCPError(
                code=mt.INTERNAL_ERROR, message="It called sys.exit; its call has ended."
            ) from None

    return handle


async def _no_notifications(*_: Any) -> None:
    """A client of this protocol version sends none."""

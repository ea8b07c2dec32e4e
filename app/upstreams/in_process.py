"""An upstream in this process: a FastMCP object of the operator's own file, called without a transport.

Its code runs with our rights. What a caller sent does not reach it, because its calls run in a context of
their own; our variables do not, because `forget_variables` takes them out of the environment.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import traceback
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
from app.tables import one_line
from app.upstreams.credentials import located
from app.upstreams.entries import Python
from app.upstreams.errors import UpstreamDown

WORDS_MOST = 500  # characters of an error


@contextlib.asynccontextmanager
async def in_process(name: str, target: Python, folder: Path) -> AsyncIterator[DirectDispatcher]:
    """The client's end. Raises UpstreamDown when the file cannot be loaded, from the file's own error."""
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
    spec = importlib.util.spec_from_file_location(module_name, file)
    if spec is None or spec.loader is None or not file.is_file():
        raise UpstreamDown(f"there is no {file.name}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # for what it imports from beside it
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit, KeyboardInterrupt) as problem:
        why = f"{file.name} cannot be loaded: {type(problem).__name__}"
        raise UpstreamDown(why, detail=f"{why}: {_in_its_words(problem, spec.origin)}") from problem
    if not hasattr(module, attribute):
        raise UpstreamDown(f"{file.name} has no `{attribute}`")
    server: Any = getattr(module, attribute)
    if not isinstance(server, FastMCP):
        raise UpstreamDown(f"`{attribute}` of {file.name} is not a FastMCP server")
    return server


def _in_its_words(problem: BaseException, file: str | None) -> str:
    """What Python says, where in the file, and what to do about what many do."""
    if isinstance(problem, SyntaxError):
        return f"{_line(problem.msg)} ({problem.filename}:{problem.lineno})"
    frames = list(traceback.walk_tb(problem.__traceback__))
    number = next((line for frame, line in reversed(frames) if frame.f_code.co_filename == file), 0)
    words = f"{_line(str(problem)) or 'it says no more'} ({file}:{number})"
    if any(frame.f_code is FastMCP.run.__code__ for frame, _ in frames):
        return f'{words}; put its call of run() under `if __name__ == "__main__":`'
    if isinstance(problem, ModuleNotFoundError):
        return f"{words}; a server with packages of its own runs as a program, with its own Python"
    return words


def _line(text: str) -> str:
    return one_line(text)[:WORDS_MOST]


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

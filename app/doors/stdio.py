"""The door of whoever started us: standard input and output, which belong to the protocol alone."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import stat
import sys
from collections.abc import Iterator

from fastmcp import FastMCP
from fastmcp.server.context import reset_transport, set_transport
from mcp.server.runner import serve_dual_era_loop

from app.doors.http import MAX_BODY
from app.doors.lines import Incoming, Outgoing
from app.doors.shortcut import Answer
from app.doors.stdio_calls import Calls
from app.mcp_server import lowlevel

Ends = tuple[int, int]


@contextlib.contextmanager
def claimed() -> Iterator[Ends | None]:
    """The ends of the protocol, out of everybody's reach: fd 0 is empty meanwhile, and what is printed to
    fd 1 comes out at standard error.

    None for what an event loop cannot watch, as a file or the null device, and for what others use as well,
    as a terminal or standard error: they would suffer from our not blocking.
    """
    if not _pipes_of_our_own():
        yield None
        return
    ends = _duplicate(0), _duplicate(1)
    blocking = [os.get_blocking(end) for end in ends]
    _divert()
    try:
        for end in ends:
            os.set_blocking(end, False)
        yield ends
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
        for fd, end in enumerate(ends):
            os.set_blocking(end, blocking[fd])
            os.dup2(end, fd)
            os.close(end)


async def serve(server: FastMCP, ends: Ends | None, answer: Answer | None = None) -> None:
    """Until the client closes one of `ends`, or SIGINT; the first request decides on the protocol's era.

    `answer`: of plain calls of the newest protocol.
    """
    if ends is None:
        await server.run_stdio_async(show_banner=False)
        return
    outgoing = Outgoing(ends[1])
    incoming = Incoming(ends[0], outgoing, most=MAX_BODY)
    if answer is not None:
        incoming.aside = Calls(incoming, outgoing, answer)
    loop, token = asyncio.get_running_loop(), set_transport("stdio")
    # The SDK's loop ends well with its input; cancelled while a message arrives it fails.
    loop.add_signal_handler(signal.SIGINT, incoming.end)
    try:
        async with lowlevel(server) as (low, state):
            await serve_dual_era_loop(low, incoming, outgoing, lifespan_state=state)
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        reset_transport(token)


def _pipes_of_our_own() -> bool:
    *ours, errors = (os.fstat(fd) for fd in (0, 1, 2))
    return all(
        (stat.S_ISFIFO(one.st_mode) or stat.S_ISSOCK(one.st_mode)) and not os.path.samestat(one, errors)
        for one in ours
    )


def _duplicate(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)


def _divert() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.close(null)

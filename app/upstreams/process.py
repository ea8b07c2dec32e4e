"""An upstream as a process of its own: MCP on its standard input and output, its errors in our log."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, cast

import anyio

from app.upstreams import launch
from app.upstreams.credentials import Credentials, located
from app.upstreams.entries import Command
from app.upstreams.errors import UpstreamDown
from app.upstreams.inflow import Inflow
from app.upstreams.pipe import BY_US, Pipe
from app.upstreams.redaction import Redactor

log = logging.getLogger("brain.upstreams")

LAUNCH = str(Path(launch.__file__))
GRACE = 1.0  # seconds from the end of its input to SIGTERM, and from there to SIGKILL
LAST_WORDS = 0.2  # seconds to read what it said before it went
STDERR_LINE = 2000  # characters of a line in our log
STDERR_LONGEST = 64 * 1024  # bytes of a line of which anything is said: a part may end in half a credential
LEFT_OUT = f"(a line of more than {STDERR_LONGEST // 1024} KiB is left out)"
STDERR_BURST, STDERR_PER_SECOND = 100, 20.0
PAUSE = 0.05  # between two looks at standard error once it says too much
CHUNK = 64 * 1024


@contextlib.asynccontextmanager
async def process(
    name: str,
    command: Command,
    given: Credentials,
    folder: Path,
    *,
    most: int,
    clock: Callable[[], float],
    hear: Callable[[], Callable[[str], None]] | None = None,
) -> AsyncIterator[Pipe]:
    """Starts it, and ends it with everything that it has started. `most`: bytes of one message.
    What `hear` gives for it is told what it says on standard error, to the last line, instead of the log.

    Raises UpstreamDown when it cannot be started.
    """
    cwd = located(folder, command.cwd)
    if not cwd.is_dir():
        raise UpstreamDown("the folder that it shall run in (`cwd`) is not there")
    try:
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", LAUNCH, str(command.memory_mb)),
            *command.words,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=dict(given.env),
            cwd=cwd,
            start_new_session=True,
            limit=most,
        )
    except OSError as problem:
        raise UpstreamDown(f"its program cannot be started: {problem.strerror}") from None
    stdin = cast(asyncio.StreamWriter, child.stdin)
    stdout, stderr = cast(asyncio.StreamReader, child.stdout), cast(asyncio.StreamReader, child.stderr)
    pipe = Pipe(name, stdout, stdin, most=most, clock=clock, gone=lambda: _exit(child))
    heard = hear() if hear else partial(log.info, "upstream %s: %s", name)
    hearing = asyncio.create_task(_hear(name, stderr, Redactor(given.secrets), clock, heard))
    try:
        yield pipe
    finally:
        await _whole(_end(child, stdin, hearing, patient=pipe.why in ("", BY_US)))


async def _whole(ending: Coroutine[Any, Any, None]) -> None:
    """However often we are cancelled meanwhile: nobody is left running, and nobody unwaited for."""
    task, cancelled = asyncio.create_task(ending), False
    with anyio.CancelScope(shield=True):  # its cancellations come again in each turn of the loop
        while not task.done():
            try:
                await asyncio.wait({task})
            except asyncio.CancelledError:
                cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


async def _hear(
    name: str,
    stderr: asyncio.StreamReader,
    redactor: Redactor,
    clock: Callable[[], float],
    heard: Callable[[str], None],
) -> None:
    """Standard error, line by line, without credentials; what is too much is read and left out."""

    def say(line: bytes) -> None:
        if len(line) > STDERR_LONGEST:
            heard(LEFT_OUT)
            return
        text = redactor.text(line.decode(errors="replace"))[:STDERR_LINE]
        heard("".join(c if c.isprintable() else " " for c in text))

    inflow, rest, silent = Inflow(clock(), STDERR_BURST, STDERR_PER_SECOND), b"", False
    while chunk := await stderr.read(CHUNK):
        *lines, rest = (rest + chunk).split(b"\n")
        rest = rest[: STDERR_LONGEST + 1]
        for line in lines:
            if inflow.overflows(clock()):
                if not silent:
                    log.warning("upstream %s: says too much on standard error; some of it is left out", name)
                silent = True
                await asyncio.sleep(PAUSE)
                break
            silent = False
            say(line)
    if rest:
        say(rest)


async def _exit(child: asyncio.subprocess.Process) -> str:
    """The end of its output is mostly the end of itself."""
    await _gone(child)
    code = child.returncode
    if code is None:
        return "it closed its output"
    return f"its process ended by signal {-code}" if code < 0 else f"its process ended with exit code {code}"


async def _end(
    child: asyncio.subprocess.Process,
    stdin: asyncio.StreamWriter,
    hearing: asyncio.Task[None],
    *,
    patient: bool,
) -> None:
    """Its input ends; a second later it is asked to go, with its children, and a second later it is gone.

    One that misbehaved is not asked.
    """
    stdin.close()
    try:
        if patient:
            await _gone(child)
            if child.returncode is None:
                _signal(child, signal.SIGTERM)
                await _gone(child)
    finally:  # a loop that ends cancels this too
        _signal(child, signal.SIGKILL)
    await _gone(child)
    # Its last words are in the pipe. Somebody whom it started, and who left its group, may hold that open.
    await asyncio.wait({hearing}, timeout=LAST_WORDS)
    hearing.cancel()
    await asyncio.gather(hearing, return_exceptions=True)
    if stdin.transport.get_write_buffer_size():  # the same for what nobody reads any more
        stdin.transport.abort()
    child._transport.close()  # type: ignore[attr-defined]


async def _gone(child: asyncio.subprocess.Process) -> None:
    """Waits for its end, not longer than GRACE. Process.wait() waits for the ends of its pipes too."""
    until = asyncio.get_running_loop().time() + GRACE
    while child.returncode is None and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 - no event tells of it
        await asyncio.sleep(0.01)


def _signal(child: asyncio.subprocess.Process, number: int) -> None:
    """To the whole group: it is a session of its own, and its number is the leader's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)

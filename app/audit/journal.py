"""Calls that are under way at somebody else's: on disk before they end, so that no end of ours hides them.

A file of each process, held by a lock while it lives. What another has left is taken over by the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from app.audit.events import Event
from app.audit.log import AuditStore, Begun

LEFT = "calls-*.journal"
ROOM = 1 << 20  # bytes of the file before it begins anew
_FIELDS = tuple(field.name for field in fields(Event))
ENDED_FIRST = "the server ended before the end of the call was on record"


class CallJournal:
    """In `folder`; its file is made for the first call. Every method but `close` is for one event loop."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / LEFT.replace("*", name)
        self._descriptor = -1
        self._thread = ThreadPoolExecutor(1, "journal")
        self._numbers = count(1)
        self._open: set[int] = set()
        self._lines: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing = False

    def begin(self, at: int, event: Event) -> Begun:
        """`at` in ms. On disk once its future is done; that is an OSError where it cannot be."""
        begun = Begun(next(self._numbers), asyncio.get_running_loop().create_future())
        self._open.add(begun.number)
        said = {"call": begun.number, "at": at, "event": {name: getattr(event, name) for name in _FIELDS}}
        self._lines.append((_line(said), begun.on_disk))
        if not self._writing:
            self._write_next()
        return begun

    def done(self, numbers: Iterable[int]) -> None:
        """Of these the end is on record. Lost in a power cut alone: then they are told of twice."""
        known = self._open.intersection(numbers)
        self._open -= known
        if known and self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.write(self._descriptor, _line({"done": sorted(known)}))

    def close(self) -> None:
        """What is not done stays for the next process."""
        self._thread.shutdown()
        if self._descriptor < 0:
            return
        if not self._open:
            self._file.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = -1

    def _write_next(self) -> None:
        batch, self._lines = self._lines, []
        self._writing = True
        anew = len(self._open) == len(batch)  # nothing in the file is needed any more
        work = asyncio.get_running_loop().run_in_executor(
            self._thread, self._write, b"".join(line for line, _ in batch), anew
        )
        work.add_done_callback(partial(self._written, [on_disk for _, on_disk in batch]))

    def _write(self, lines: bytes, anew: bool) -> None:
        if self._descriptor < 0:
            self._descriptor = _made(self._file)
        if anew and os.fstat(self._descriptor).st_size > ROOM:
            os.ftruncate(self._descriptor, 0)
        if os.write(self._descriptor, lines) < len(lines):
            raise OSError("the disk is full")
        os.fdatasync(self._descriptor)

    def _written(self, waiting: list[asyncio.Future[None]], work: asyncio.Future[None]) -> None:
        self._writing = False
        problem = work.exception()
        for on_disk in waiting:
            if on_disk.done():
                continue
            if problem is None:
                on_disk.set_result(None)
            else:
                on_disk.set_exception(problem)
        if self._lines:
            self._write_next()


@contextlib.contextmanager
def left_over(folder: Path) -> Iterator[list[tuple[int, Event]]]:
    """The calls (time in ms, event) whose process ended before they did. Gone when the block ends well."""
    with contextlib.ExitStack() as stack:
        orphans = [path for path in sorted(folder.glob(LEFT)) if stack.enter_context(_ours_now(path))]
        yield [one for path in orphans for one in _calls(path)]
        for path in orphans:
            path.unlink(missing_ok=True)


async def take_over(folder: Path, audit: AuditStore) -> None:
    """Puts what another process has left on record. Raises AppError; it is left then."""
    with left_over(folder) as calls:
        if calls:
            await audit.append(calls)


def _made(file: Path) -> int:
    """Under its name only when it is locked: one without a lock belongs to nobody."""
    new = file.with_suffix(".new")
    descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    new.rename(file)
    return descriptor


@contextlib.contextmanager
def _ours_now(path: Path) -> Iterator[bool]:
    """Whether nobody else holds the file; then we do, in this block."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except OSError:
        free = False
    try:
        yield free
    finally:
        os.close(descriptor)


def _calls(path: Path) -> list[tuple[int, Event]]:
    """Those without an end, in their order. A line that was cut off had not been waited for."""
    found: dict[int, tuple[int, Event]] = {}
    for line in path.read_bytes().splitlines():
        with contextlib.suppress(ValueError, LookupError, TypeError):
            said: dict[str, Any] = json.loads(line)
            for number in said.get("done", ()):
                found.pop(number, None)
            if "call" in said:
                found[said["call"]] = (said["at"], _event(said["event"]))
    return list(found.values())


def _event(fields: dict[str, Any]) -> Event:
    lists = {key: tuple(value) for key, value in fields.items() if isinstance(value, list)}
    event = Event(**{**fields, **lists})
    return replace(event, reason=f"{event.reason}; {ENDED_FIRST}")


def _line(said: dict[str, Any]) -> bytes:
    return b"\n" + json.dumps(said, separators=(",", ":")).encode()  # whatever a broken write has left

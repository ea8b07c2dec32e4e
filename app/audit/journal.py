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
from dataclasses import dataclass, fields, replace
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from app.audit.events import Event
from app.audit.log import AuditStore, Begun

LEFT = "calls-*.journal"
ROOM = 1 << 20  # bytes of the file before it begins anew
_FIELDS = tuple(field.name for field in fields(Event))
ENDED_FIRST = "the server ended before the end of the call was on record"


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines for the file, and who waits for them. `anew`: they are all of it that is still needed."""

    text: bytes
    anew: bool
    waiting: list[asyncio.Future[None]]


class CallJournal:
    """In `folder`; its file is made for the first call. Every method but `close` is for one event loop."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / LEFT.replace("*", name)
        self._synced = self._marks = -1  # what is written to the first is on disk; the second need not wait
        self._size = 0
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread: Thread | None = None
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
        if known and self._marks >= 0:
            with contextlib.suppress(OSError):
                os.write(self._marks, _line({"done": sorted(known)}))

    def close(self) -> None:
        """What is not done stays for the next process."""
        if self._thread is not None:
            self._batches.put(None)
            self._thread.join()
        if self._synced < 0:
            return
        if not self._open:
            self._file.unlink(missing_ok=True)
        os.close(self._marks)
        os.close(self._synced)
        self._synced = self._marks = -1

    def _write_next(self) -> None:
        lines, self._lines = self._lines, []
        self._writing = True
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = Thread(target=self._write_all, args=(loop,), name="journal", daemon=True)
            self._thread.start()
        anew = len(self._open) == len(lines)  # nothing in the file is needed any more
        text, waiting = b"".join(line for line, _ in lines), [on_disk for _, on_disk in lines]
        self._batches.put(Batch(text, anew, waiting))

    def _write_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own: an executor would take as long as the disk."""
        while (batch := self._batches.get()) is not None:
            problem = None
            try:
                self._write(batch.text, batch.anew)
            except OSError as failed:
                problem = failed
            loop.call_soon_threadsafe(self._written, batch.waiting, problem)

    def _write(self, lines: bytes, anew: bool) -> None:
        if self._synced < 0:
            self._synced, self._marks = _made(self._file)
        if anew and self._size > ROOM:
            os.ftruncate(self._synced, 0)
            self._size = 0
        self._size += len(lines)
        if os.write(self._synced, lines) < len(lines):
            raise OSError("the disk is full")

    def _written(self, waiting: list[asyncio.Future[None]], problem: OSError | None) -> None:
        for on_disk in waiting:
            if on_disk.done():  # nobody waits for it any more
                continue
            if problem is None:
                on_disk.set_result(None)
            else:
                on_disk.set_exception(problem)
                on_disk.exception()  # whoever hung up does not ask
        self._writing = False
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


def _made(file: Path) -> tuple[int, int]:
    """Two descriptors, the first of which writes through to the disk.

    Under its name only when it is locked: one without a lock belongs to nobody."""
    new, flags = file.with_suffix(".new"), os.O_RDWR | os.O_APPEND
    synced = os.open(new, flags | os.O_CREAT | os.O_EXCL | os.O_DSYNC, 0o600)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(synced, fcntl.LOCK_EX | fcntl.LOCK_NB)
    marks = os.open(new, flags)
    new.rename(file)
    return synced, marks


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

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
class File:
    """What is written to `synced` is on disk; marks need not wait."""

    path: Path
    synced: int
    marks: int

    def close(self) -> None:
        os.close(self.marks)
        os.close(self.synced)


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines, and who waits for them. `anew`: for a file of their own; nothing else is needed any more."""

    text: bytes
    anew: bool
    waiting: list[asyncio.Future[None]]


class CallJournal:
    """In `folder`; its file is made for the first call, and made anew with what is under way when it is full.
    Every method but `close` is for one event loop."""

    def __init__(self, folder: Path, name: str) -> None:
        self._paths = (folder / LEFT.replace("*", f"{name}-{number}") for number in count(1))
        self._file: File | None = None
        self._size = ROOM
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._numbers = count(1)
        self._open: dict[int, bytes] = {}
        self._lines: list[tuple[bytes, asyncio.Future[None]]] = []
        self._writing = False

    def begin(self, at: int, event: Event) -> Begun:
        """`at` in ms. On disk once its future is done; that is an OSError where it cannot be."""
        begun = Begun(next(self._numbers), asyncio.get_running_loop().create_future())
        said = {"call": begun.number, "at": at, "event": {name: getattr(event, name) for name in _FIELDS}}
        self._open[begun.number] = line = _line(said)
        self._lines.append((line, begun.on_disk))
        if not self._writing:
            self._write_next()
        return begun

    def done(self, numbers: Iterable[int]) -> None:
        """Of these the end is on record. Lost in a power cut, or in the moment when a file is made anew and
        we are killed: then they are told of twice."""
        known = [number for number in numbers if self._open.pop(number, None) is not None]
        if known and self._file is not None:
            with contextlib.suppress(OSError):
                os.write(self._file.marks, _line({"done": known}))

    def close(self) -> None:
        """What is not done stays for the next process."""
        if self._thread is not None:
            self._batches.put(None)
            self._thread.join()
        if self._file is None:
            return
        if not self._open:
            self._file.path.unlink(missing_ok=True)
        self._file.close()
        self._file = None

    def _write_next(self) -> None:
        lines, self._lines = self._lines, []
        self._writing = True
        if self._thread is None:
            loop = asyncio.get_running_loop()
            self._thread = Thread(target=self._write_all, args=(loop,), name="journal", daemon=True)
            self._thread.start()
        anew = self._size >= ROOM
        text = b"".join(self._open.values() if anew else (line for line, _ in lines))
        self._size = len(text) if anew else self._size + len(text)
        self._batches.put(Batch(text, anew, [on_disk for _, on_disk in lines]))

    def _write_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own: an executor would take as long as the disk."""
        file: File | None = None
        while (batch := self._batches.get()) is not None:
            made, problem = None, None
            try:
                if file is None or batch.anew:
                    file, before = (made := _made(next(self._paths))), file
                if os.write(file.synced, batch.text) < len(batch.text):
                    raise OSError("the disk is full")
            except OSError as failed:
                problem = failed
                if made is not None:
                    made.path.unlink(missing_ok=True)
                    made.close()
                    file = before
            loop.call_soon_threadsafe(self._written, file, batch.waiting, problem)

    def _written(
        self, file: File | None, waiting: list[asyncio.Future[None]], problem: OSError | None
    ) -> None:
        if file is not self._file and problem is None:
            before, self._file = self._file, file
            if before is not None:
                before.path.unlink(missing_ok=True)
                before.close()
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


def _made(path: Path) -> File:
    """Under its name only when it is locked: one without a lock belongs to nobody."""
    new, flags = path.with_suffix(".new"), os.O_RDWR | os.O_APPEND
    synced = os.open(new, flags | os.O_CREAT | os.O_EXCL | os.O_DSYNC, 0o600)
    with contextlib.suppress(OSError):  # a file system without locks
        fcntl.flock(synced, fcntl.LOCK_EX | fcntl.LOCK_NB)
    file = File(path, synced, os.open(new, flags))
    new.rename(path)
    return file


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

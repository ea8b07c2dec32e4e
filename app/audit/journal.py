"""Calls that are under way at somebody else's: on disk before they end, so that no end of ours hides them.

A file of each process, held by a lock while it lives. What another has left is taken over by the next one
(takeover.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from itertools import count
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any

from app.audit.events import Event
from app.audit.log import Begun

LEFT, UNMADE = "calls-*.journal", "calls-*.new"
ROOM = 1 << 20  # bytes of the file before it is made anew
FIELDS = tuple(field.name for field in fields(Event))


@dataclass(frozen=True, slots=True)
class File:
    """What is written to `synced` is on disk; marks need not wait."""

    path: Path
    synced: int
    marks: int

    def close(self) -> None:
        for descriptor in (self.marks, self.synced):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self.path.unlink()
        self.close()


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines of these calls, and who waits for them. `anew`: for a file of their own; nothing else is needed
    any more."""

    text: bytes
    numbers: tuple[int, ...]
    anew: bool
    waiting: list[asyncio.Future[None]]


class CallJournal:
    """In `folder`; its file is made for the first call, and made anew with what is under way when it is full.
    Every method but `close` is for one event loop."""

    def __init__(self, folder: Path, name: str) -> None:
        self._paths = (folder / LEFT.replace("*", f"{name}-{number}") for number in count(1))
        self._file: File | None = None
        self._newest: File | None = None  # as the thread has it
        self._closed = False
        self._size, self._live = ROOM, 0  # bytes of the file, and of what is under way
        self._batches: SimpleQueue[Batch | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._numbers = count(1)
        self._open: dict[int, bytes] = {}
        self._next: list[Begun] = []
        self._writing = False

    def begin(self, at: int, event: Event) -> Begun:
        """`at` in ms. On disk once its future is done; that is an OSError where it cannot be."""
        begun = Begun(next(self._numbers), asyncio.get_running_loop().create_future())
        said = {"call": begun.number, "at": at, "event": {name: getattr(event, name) for name in FIELDS}}
        self._open[begun.number] = line = _line(said)
        self._live += len(line)
        self._next.append(begun)
        if not self._writing:
            self._write_next()
        return begun

    def done(self, numbers: Iterable[int]) -> None:
        """Of these the end is on record. Lost in a power cut alone: then they are told of twice."""
        lines = {number: line for number in numbers if (line := self._open.pop(number, None)) is not None}
        self._live -= sum(map(len, lines.values()))
        if lines:
            self._mark(list(lines))

    def close(self) -> None:
        """What is not done stays for the next process."""
        if self._thread is not None:
            self._batches.put(None)
            self._thread.join()
        self._closed = True
        newest = self._newest
        if self._file is not None and self._file is not newest:  # nobody has heard of the newest yet
            self._file.remove()
        if newest is not None:
            newest.close() if self._open else newest.remove()

    def _write_next(self) -> None:
        begun, self._next = self._next, []
        waiting = [one.on_disk for one in begun]
        if self._thread is None:
            thread = Thread(
                target=self._write_all, args=(asyncio.get_running_loop(),), name="journal", daemon=True
            )
            try:
                thread.start()
            except RuntimeError as problem:  # there are too many
                _tell(waiting, OSError(str(problem)))
                return
            self._thread = thread
        self._writing = True
        anew = self._size >= max(ROOM, 2 * self._live)
        numbers = (
            tuple(self._open) if anew else tuple(one.number for one in begun if one.number in self._open)
        )
        text = b"".join(self._open[number] for number in numbers)
        self._size = len(text) if anew else self._size + len(text)
        self._batches.put(Batch(text, numbers, anew, waiting))

    def _write_all(self, loop: asyncio.AbstractEventLoop) -> None:
        """In a thread of its own: an executor would take as long as the disk."""
        file: File | None = None
        while (batch := self._batches.get()) is not None:
            before, problem = file, None
            try:
                if file is None or batch.anew:
                    file = _made(next(self._paths))
                if os.write(file.synced, batch.text) < len(batch.text):
                    raise OSError("the disk is full")
            except Exception as failed:  # whatever it is: everybody would wait for a thread that died of it
                problem = failed if isinstance(failed, OSError) else OSError(repr(failed))
                if file is not None and file is not before:
                    file.remove()
                file = before
            self._newest = file
            loop.call_soon_threadsafe(self._written, file, batch, problem)

    def _written(self, file: File | None, batch: Batch, problem: OSError | None) -> None:
        if problem is None and file is not self._file and not self._closed:
            before, self._file = self._file, file
            if before is not None:
                before.remove()
            self._mark([number for number in batch.numbers if number not in self._open])  # done meanwhile
        _tell(batch.waiting, problem)
        self._writing = False
        if self._next:
            self._write_next()

    def _mark(self, numbers: list[int]) -> None:
        if numbers and self._file is not None:
            with contextlib.suppress(OSError):
                os.write(self._file.marks, _line({"done": numbers}))


def _tell(waiting: Iterable[asyncio.Future[None]], problem: OSError | None) -> None:
    for on_disk in waiting:
        if on_disk.done():  # nobody waits for it any more
            continue
        if problem is None:
            on_disk.set_result(None)
        else:
            on_disk.set_exception(problem)
            on_disk.exception()  # whoever hung up does not ask


def _made(path: Path) -> File:
    """Under its name only when it is locked: one without a lock belongs to nobody."""
    new, flags = path.with_suffix(".new"), os.O_RDWR | os.O_APPEND
    made = [os.open(new, flags | os.O_CREAT | os.O_EXCL | os.O_DSYNC, 0o600)]
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(made[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        made.append(os.open(new, flags))
        new.rename(path)
    except BaseException:
        for descriptor in made:
            os.close(descriptor)
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    _sync(path.parent)
    return File(path, made[0], made[1])


def _sync(folder: Path) -> None:
    """A name is on disk when its folder is."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _line(said: dict[str, Any]) -> bytes:
    return b"\n" + json.dumps(said, separators=(",", ":")).encode()  # whatever a broken write has left

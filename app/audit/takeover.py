"""What a process has left that ended in the middle of calls (journal.py): put on record by the next one."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from app.audit.events import Event
from app.audit.journal import FIELDS, LEFT, UNMADE
from app.audit.log import AuditStore

log = logging.getLogger("brain")

ENDED_FIRST = "the server ended before the end of the call was on record"
_LISTS, _NUMBERS = ("groups", "rules"), ("status", "ms")
_NO_CALL = (ValueError, LookupError, TypeError, AttributeError, RecursionError)


async def take_over(folder: Path, audit: AuditStore) -> None:
    """Raises AppError when it cannot be put on record; it is left then."""
    try:
        with left_over(folder) as calls:
            if calls:
                await audit.append(calls)
    except OSError as problem:
        log.warning("what another process has left in %s cannot be read: %s", folder, problem)


@contextlib.contextmanager
def left_over(folder: Path) -> Iterator[list[tuple[int, Event]]]:
    """The calls (time in ms, event) whose process ended before they did. Gone when the block ends well."""
    with contextlib.ExitStack() as stack:
        held = [(path, stack.enter_context(_held(path))) for path in _files(folder)]
        orphans = {path: descriptor for path, descriptor in held if descriptor is not None}
        yield [one for descriptor in orphans.values() for one in _calls(descriptor)]
        for path, descriptor in orphans.items():
            try:
                path.unlink()
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(descriptor, 0)


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob(LEFT)) + sorted(folder.glob(UNMADE))


@contextlib.contextmanager
def _held(path: Path) -> Iterator[int | None]:
    """A descriptor, if the file is nobody else's; it is ours in this block."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield descriptor if _locks(descriptor, path) else None
    finally:
        os.close(descriptor)


def _locks(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.fstat(descriptor)
        # Another process may have taken it over, and removed it, between our opening and our locking it.
        return stat.S_ISREG(mine.st_mode) and os.path.samestat(mine, os.stat(path, follow_symlinks=False))
    except OSError:
        return False


def _calls(descriptor: int) -> list[tuple[int, Event]]:
    """Those without an end, in their order. A line that was cut off had not been waited for."""
    found: dict[int, tuple[int, Event]] = {}
    with os.fdopen(os.dup(descriptor), "rb") as file:
        for line in file.read().splitlines():
            with contextlib.suppress(*_NO_CALL):
                said: dict[str, Any] = json.loads(line)
                for number in said.get("done", ()):
                    found.pop(number, None)
                if "call" in said:
                    found[said["call"]] = (int(said["at"]), _event(said["event"]))
    return list(found.values())


def _event(said: dict[str, Any]) -> Event:
    """Raises an error of _NO_CALL for what no journal of ours has."""
    values: dict[str, Any] = {}
    for name in FIELDS:
        value = said[name]
        if name in _LISTS:
            values[name] = tuple(str(one) for one in value)
        elif isinstance(value, int | float if name in _NUMBERS else str):
            values[name] = value
        else:
            raise TypeError(name)
    event = Event(**values)
    return replace(event, reason=f"{event.reason}; {ENDED_FIRST}")

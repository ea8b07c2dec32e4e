"""The audit log as the server writes it: in order, in batches, and never silently incomplete."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from app.audit.chain import milliseconds
from app.audit.events import Event, lost_event
from app.errors import AppError

log = logging.getLogger("brain")

BATCH_SECONDS = 0.05  # how long a read may wait for others before it is on disk
RETRY_SECONDS = 1.0
MAX_WAITING = 20_000  # records that are held while the storage is broken; the oldest stay
MAX_BATCH = 500  # records in one transaction: everything else in the process waits a few milliseconds for it


class AuditUnavailable(AppError):
    """What has to be on record cannot be recorded, so it is not done."""

    code = "audit_unavailable"
    status = 503

    def __init__(self, detail: str = "") -> None:
        super().__init__(
            "Nothing can be changed at the moment, because the audit log cannot be written. "
            "Reading goes on. The operator sees why in the server's log.",
            detail=detail,
            retry_after=5,
        )


class RefusedUntried(AuditUnavailable):
    """A change that was not even begun, because the log is known to be broken."""


class AuditStore(Protocol):
    """Where records are kept. Raises AppError when they cannot be."""

    async def append(self, stamped: Sequence[tuple[int, Event]]) -> None: ...

    async def join(self, connection: Any, stamped: Sequence[tuple[int, Event]]) -> None: ...


@dataclass(frozen=True, slots=True)
class Begun:
    """A call that has gone to somebody else. `on_disk` is done when that much of it is."""

    number: int
    on_disk: asyncio.Future[None]


class Journal(Protocol):
    """Where calls are kept that have begun, until their records are."""

    def begin(self, at: int, event: Event) -> Begun: ...

    def done(self, numbers: Iterable[int]) -> None: ...


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record that is not on disk yet: time in ms, who waits for it, and the number of the call it ends."""

    at: int
    event: Event
    done: asyncio.Future[None] | None
    ends: int


@dataclass(slots=True)
class Pending:
    """A change that is under way; its record joins the transaction of the change."""

    event: Callable[[], Event]
    kept: bool = False


_pending: ContextVar[Pending | None] = ContextVar("pending", default=None)


class AuditLog:
    """One writer for the process. Needs `running()` around everything that records."""

    def __init__(self, store: AuditStore, journal: Journal, now: Callable[[], float]) -> None:
        self._store, self._journal, self._now = store, journal, now
        self._waiting: deque[Waiting] = deque()
        self._due = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None
        self._stopping, self._ended = False, False
        self.healthy = True
        self.lost = 0
        self._lost_ends: list[int] = []

    def note(self, event: Event, ends: Begun | None = None) -> None:
        """On disk within BATCH_SECONDS. For reads, for what a door refuses, and for the end of what was
        begun."""
        self._add(event, None, ends)
        self._soon()

    async def keep(self, event: Event, ends: Begun | None = None) -> None:
        """On disk when it returns. Raises AuditUnavailable; the record then still waits for its chance,
        or is counted as lost where too many wait already."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._ended or not self._add(event, done, ends):
            raise AuditUnavailable
        self._due.set()
        await done

    def begin(self, event: Event) -> Begun:
        """Around a call that goes to somebody else, and is on its way while this is written; then `end`."""
        return self._journal.begin(milliseconds(self._now()), event)

    async def end(self, begun: Begun, event: Event) -> None:
        """On disk when it returns: that it was begun, or else all of it. Raises AuditUnavailable."""
        try:
            await begun.on_disk
        except OSError:
            await self.keep(event, begun)
        except asyncio.CancelledError:
            self.note(event, begun)
            raise
        else:
            self.note(event, begun)

    @contextlib.contextmanager
    def change(self, event: Callable[[], Event]) -> Iterator[Pending]:
        """Around a call that may change something. `kept` afterwards: the record went with the change.

        Raises RefusedUntried, of which there is no record yet."""
        if not self.healthy:
            raise RefusedUntried
        pending = Pending(event)
        mark = _pending.set(pending)
        try:
            yield pending
        finally:
            _pending.reset(mark)

    async def join(self, connection: Any) -> None:
        """At the end of every transaction of the store: the change and its record, or neither."""
        pending = _pending.get()
        if pending is None or pending.kept:
            return
        await self._store.join(connection, [(milliseconds(self._now()), pending.event())])
        pending.kept = True

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        writer = asyncio.create_task(self._write())
        try:
            yield
        finally:
            self._stopping = True
            self._due.set()
            await writer

    def _add(self, event: Event, done: asyncio.Future[None] | None, ends: Begun | None) -> bool:
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            if ends is not None:
                self._lost_ends.append(ends.number)
            return False
        self._waiting.append(Waiting(milliseconds(self._now()), event, done, ends.number if ends else 0))
        return True

    def _soon(self) -> None:
        """While the storage is broken the writer tries again at its own times."""
        if self._later is None and self.healthy:
            self._later = asyncio.get_running_loop().call_later(BATCH_SECONDS, self._due.set)

    async def _write(self) -> None:
        try:
            while self._waiting or not self._stopping:
                await self._due.wait()
                self._not_due()
                if await self._flush():
                    if self._waiting:
                        self._soon()
                    continue
                if self._stopping:
                    log.error(
                        "the server ends with %d audit records that could not be written", len(self._waiting)
                    )
                    return
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._due.wait(), RETRY_SECONDS)
                self._due.set()
        finally:
            self._ended = True
            self._not_due()
            self._resolve(AuditUnavailable("the server ends"))

    def _not_due(self) -> None:
        self._due.clear()
        if self._later is not None:
            self._later.cancel()
            self._later = None

    async def _flush(self) -> bool:
        """Writes what waits now; what comes meanwhile is for the next time."""
        due = len(self._waiting)
        while due:
            batch = list(islice(self._waiting, min(due, MAX_BATCH)))
            try:
                await self._store.append([(one.at, one.event) for one in batch])
            except Exception as problem:  # whatever it is: a writer that dies of it would be silent
                self._fail(problem)
                return False
            for one in batch:
                self._waiting.popleft()
                if one.done is not None and not one.done.done():
                    one.done.set_result(None)
            self._journal.done(one.ends for one in batch)
            due -= len(batch)
            self._recover()
        return True

    def _fail(self, problem: Exception) -> None:
        detail = f"{problem.public} {problem.detail}" if isinstance(problem, AppError) else repr(problem)
        if self.healthy:
            log.error("THE AUDIT LOG CANNOT BE WRITTEN: changes are refused until it can. %s", detail)
        self.healthy = False
        self._resolve(AuditUnavailable(detail))

    def _recover(self) -> None:
        if not self.healthy:
            log.error("the audit log can be written again")
        self.healthy = True
        if self.lost:
            lost, self.lost = self.lost, 0
            log.error("%d audit records were lost", lost)
            self.note(lost_event(lost))
            self._journal.done(self._lost_ends)
            self._lost_ends = []

    def _resolve(self, problem: AuditUnavailable) -> None:
        """Everybody who waits hears it; their records go on waiting."""
        for one in self._waiting:
            if one.done is not None and not one.done.done():
                one.done.set_exception(problem)

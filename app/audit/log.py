"""The audit log as the server writes it: in order, in batches, and never silently incomplete."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
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


@dataclass(slots=True)
class Pending:
    """A change that is under way; its record joins the transaction of the change."""

    event: Callable[[], Event]
    kept: bool = False


_pending: ContextVar[Pending | None] = ContextVar("pending", default=None)


class AuditLog:
    """One writer for the process. Needs `running()` around everything that records."""

    def __init__(self, store: AuditStore, now: Callable[[], float]) -> None:
        self._store, self._now = store, now
        # Time, what happened, and who waits until it is on disk.
        self._waiting: deque[tuple[int, Event, asyncio.Future[None] | None]] = deque()
        self._something, self._urgent = asyncio.Event(), asyncio.Event()
        self._stopping, self._ended = False, False
        self.healthy = True
        self.lost = 0

    def note(self, event: Event) -> None:
        """On disk within BATCH_SECONDS. For reads, and for what a door refuses."""
        self._add(event, None)

    async def keep(self, event: Event) -> None:
        """On disk when it returns. Raises AuditUnavailable; the record then still waits for its chance,
        or is counted as lost where too many wait already."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._ended or not self._add(event, done):
            raise AuditUnavailable
        self._urgent.set()
        await done

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
            self._something.set()
            self._urgent.set()
            await writer

    def _add(self, event: Event, done: asyncio.Future[None] | None) -> bool:
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return False
        self._waiting.append((milliseconds(self._now()), event, done))
        self._something.set()
        return True

    async def _write(self) -> None:
        try:
            while self._waiting or not self._stopping:
                await self._something.wait()
                await self._or_urgent(BATCH_SECONDS)
                self._something.clear()
                self._urgent.clear()
                if await self._flush():
                    continue
                if self._stopping:
                    log.error(
                        "the server ends with %d audit records that could not be written", len(self._waiting)
                    )
                    return
                await self._or_urgent(RETRY_SECONDS)
                self._something.set()
        finally:
            self._ended = True
            self._resolve(AuditUnavailable("the server ends"))

    async def _or_urgent(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._urgent.wait(), seconds)

    async def _flush(self) -> bool:
        """Writes what waits now; what comes meanwhile is for the next time."""
        due = len(self._waiting)
        while due:
            batch = list(islice(self._waiting, min(due, MAX_BATCH)))
            try:
                await self._store.append([(at, event) for at, event, _ in batch])
            except Exception as problem:  # whatever it is: a writer that dies of it would be silent
                self._fail(problem)
                return False
            for _, _, done in batch:
                self._waiting.popleft()
                if done is not None and not done.done():
                    done.set_result(None)
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

    def _resolve(self, problem: AuditUnavailable) -> None:
        """Everybody who waits hears it; their records go on waiting."""
        for _, _, done in self._waiting:
            if done is not None and not done.done():
                done.set_exception(problem)

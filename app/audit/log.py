"""The audit log as the server writes it: in order, in batches, and never silently incomplete."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from app.audit.chain import milliseconds
from app.audit.events import Event
from app.errors import AppError

log = logging.getLogger("brain")

BATCH_SECONDS = 0.05  # how long a read may wait for others before it is on disk
RETRY_SECONDS = 1.0
MAX_WAITING = 20_000  # records that are held while the storage is broken; the oldest stay


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
        self._waiting: deque[tuple[int, Event]] = deque()
        self._awaited: list[asyncio.Future[None]] = []
        self._something, self._urgent = asyncio.Event(), asyncio.Event()
        self._stopping = False
        self.healthy = True
        self.lost = 0

    def note(self, event: Event) -> None:
        """On disk within BATCH_SECONDS. For reads, and for what a door refuses."""
        if len(self._waiting) >= MAX_WAITING:
            self.lost += 1
            return
        self._waiting.append((milliseconds(self._now()), event))
        self._something.set()

    async def keep(self, event: Event) -> None:
        """On disk when it returns. Raises AuditUnavailable; the record then still waits for its chance."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.note(event)
        self._awaited.append(done)
        self._urgent.set()
        self._something.set()
        await done

    @contextlib.contextmanager
    def change(self, event: Callable[[], Event]) -> Iterator[Pending]:
        """Around a call that may change something. `kept` afterwards: the record went with the change."""
        if not self.healthy:
            raise AuditUnavailable
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

    async def _write(self) -> None:
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

    async def _or_urgent(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._urgent.wait(), seconds)

    async def _flush(self) -> bool:
        batch, awaited = list(self._waiting), self._awaited
        self._awaited = []
        if not batch:
            _resolve(awaited, None)
            return True
        try:
            await self._store.append(batch)
        except AppError as problem:
            self._fail(problem)
            _resolve(awaited, AuditUnavailable(problem.detail))
            return False
        for _ in batch:
            self._waiting.popleft()
        self._recover()
        _resolve(awaited, None)
        return True

    def _fail(self, problem: AppError) -> None:
        if self.healthy:
            log.error(
                "THE AUDIT LOG CANNOT BE WRITTEN: changes are refused until it can. %s %s",
                problem.public,
                problem.detail,
            )
        self.healthy = False

    def _recover(self) -> None:
        if not self.healthy:
            log.error("the audit log can be written again; %d records were lost", self.lost)
        self.healthy, self.lost = True, 0


def _resolve(awaited: list[asyncio.Future[None]], problem: AppError | None) -> None:
    for done in awaited:
        if done.done():
            continue
        if problem is None:
            done.set_result(None)
        else:
            done.set_exception(problem)

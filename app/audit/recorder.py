"""Puts every decided operation on record: what only reads soon, what may change something with the change."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, TypeVar

from app.audit.events import Event, Report
from app.audit.log import AuditLog, AuditUnavailable, Begun, Pending, RefusedUntried
from app.errors import AppError
from app.policy.decide import Decision
from app.principal import Principal

T = TypeVar("T")

UNDER_WAY = (
    202  # the status of a call that was passed on and whose end is not known (RFC 9110 section 15.3.3)
)
GONE = 499  # the status of a call whose caller hung up before its end
GRACE = 0.2  # seconds that a change has to end when its caller hung up
NESTED = "nested too deep"  # the digest of arguments that cannot be gone through
CUT = 200  # characters of a stored string argument; also of the name of what was called


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, and in which request. Supplied by the doors, or by stdio for the whole process.

    `answer` replaces the whole HTTP answer by a refusal, where there is one to replace.
    """

    principal: Principal
    request_id: str = ""
    cf_ray: str = ""
    answer: Callable[[AppError], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Call:
    """One list entry's use. `method` is the MCP method; `changes`: it may do more than read.

    `upstream`: whose it is, if it is not ours.
    """

    method: str
    name: str
    decision: Decision
    arguments: Mapping[str, Any] | None = None
    changes: bool = False
    upstream: str = ""


class Outcome:
    """Around work: how it ended, as the status of its record."""

    status = 500

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if problem is None:
            self.status = 200
        elif isinstance(problem, asyncio.CancelledError):
            self.status = GONE
        elif isinstance(problem, Exception):
            self.status = _status(problem)


class Recorder:
    """`report` counts and logs, `audit` keeps. `keep_args`: `tool.argument` names whose values are stored."""

    def __init__(
        self,
        *,
        request: Callable[[], Request],
        report: Report,
        audit: AuditLog,
        clock: Callable[[], float],
        keep_args: frozenset[str] = frozenset(),
    ) -> None:
        self._request, self._report, self._audit, self._clock = request, report, audit, clock
        self._keep_args = keep_args

    async def denied(self, call: Call) -> None:
        """On disk before anybody hears of it."""
        event = self._event(call, 403)
        self._report(event)
        await self._audit.keep(event)

    async def run(self, call: Call, work: Callable[[], Awaitable[T]]) -> T:
        """What `work` returns or raises. Raises AuditUnavailable; before `work` if it is known."""
        if call.upstream:
            return await self._run_there(call, work)
        if call.changes:
            return await self._run_change(call, work)
        began, outcome = self._clock(), Outcome()
        try:
            with outcome:
                return await work()
        finally:
            self._note(self._event(call, outcome.status, began))

    async def _run_there(self, call: Call, work: Callable[[], Awaitable[T]]) -> T:
        """At somebody else's: that it went there is on disk before the answer leaves, how it ended soon.

        Reading goes on where it cannot be."""
        began, outcome = self._clock(), Outcome()
        if call.changes and not self._audit.healthy:
            self._note(self._event(call, RefusedUntried.status, began))
            raise RefusedUntried
        event = self._event(call, UNDER_WAY)
        begun = self._audit.begin(event)
        try:
            with outcome:
                return await work()
        finally:
            await self._ended(call, begun, replace(event, status=outcome.status, ms=self._ms(began)))

    async def _ended(self, call: Call, begun: Begun, event: Event) -> None:
        self._report(event)
        if event.status == GONE:  # the caller hung up: nothing can be awaited any more
            self._audit.note(event, begun)
            return
        try:
            await self._audit.end(begun, event)
        except AuditUnavailable:  # the record waits for its chance
            if call.changes:
                raise

    async def _run_change(self, call: Call, work: Callable[[], Awaitable[T]]) -> T:
        began = self._clock()
        try:
            with self._audit.change(lambda: self._event(call, 200, began)) as pending:
                return await to_its_end(self._change(call, work, began, pending))
        except RefusedUntried as refused:
            self._note(self._event(call, refused.status, began))
            raise

    async def _change(
        self, call: Call, work: Callable[[], Awaitable[T]], began: float, pending: Pending
    ) -> T:
        try:
            result = await work()
        except asyncio.CancelledError:  # the caller hung up: nothing can be awaited any more
            event = self._event(call, GONE, began)
            self._report(event) if pending.kept else self._note(event)
            raise
        except Exception as problem:
            event = self._event(call, _status(problem), began)
            self._report(event)
            await self._audit.keep(event)  # a change that was undone took its record with it
            raise
        event = self._event(call, 200, began)
        self._report(event)
        if not pending.kept:
            await self._audit.keep(event)
        return result

    def _note(self, event: Event) -> None:
        self._report(event)
        self._audit.note(event)

    def _event(self, call: Call, status: int, began: float | None = None) -> Event:
        request, decision = self._request(), call.decision
        principal = request.principal
        arguments = call.arguments
        return Event(
            door=principal.door,
            operation=call.method,
            name=call.name[:CUT],
            decision="allow" if decision.allowed else "deny",
            request_id=request.request_id,
            cf_ray=request.cf_ray,
            principal=principal.id,
            kind=principal.kind,
            client=principal.client or "",
            groups=tuple(sorted(principal.groups)) if principal.groups else (),
            args_sha256="" if arguments is None else digest(arguments),
            args="" if arguments is None else self._kept(call.name, arguments),
            rules=decision.rules,
            reason="; ".join(_reasons(call)),
            status=status,
            ms=0.0 if began is None else self._ms(began),
        )

    def _ms(self, began: float) -> float:
        return round((self._clock() - began) * 1000, 3)

    def _kept(self, name: str, arguments: Mapping[str, Any]) -> str:
        if not self._keep_args:
            return ""
        named = {key: _cut(value) for key, value in arguments.items() if f"{name}.{key}" in self._keep_args}
        return json.dumps(named, sort_keys=True, default=str) if named else ""


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Cancelled only GRACE seconds later: mostly it has ended by then, and its record says how."""
    task, loop = asyncio.ensure_future(work), asyncio.get_running_loop()
    hung_up: asyncio.CancelledError | None = None
    ends: float | None = None  # when it is cancelled
    while not task.done():
        try:
            await asyncio.wait({task}, timeout=None if ends is None else max(0.0, ends - loop.time()))
        except asyncio.CancelledError as cancelled:
            if hung_up is None:
                hung_up, ends = cancelled, loop.time() + GRACE
        if ends is not None and loop.time() >= ends:
            task.cancel()
            ends = None
    if hung_up is None:
        return task.result()
    if not task.cancelled():
        task.exception()  # heard by nobody any more
    raise hung_up


def _reasons(call: Call) -> tuple[str, ...]:
    """Why, and of an allowed call also which upstream it went to."""
    if not call.upstream or not call.decision.allowed:
        return call.decision.reasons
    return (f"upstream {call.upstream}", *call.decision.reasons)


def digest(arguments: Mapping[str, Any]) -> str:
    """SHA-256 of the arguments as JSON with sorted names: equal calls have equal digests, unless they are
    nested too deep."""
    try:
        return sha256(_canonical(arguments).encode()).hexdigest()
    except RecursionError:
        return NESTED


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str).encode


def _cut(value: Any) -> Any:
    if isinstance(value, str):
        return value[:CUT]
    if isinstance(value, list):
        return [_cut(one) for one in value[:CUT]]
    if isinstance(value, dict):
        return {str(key)[:CUT]: _cut(one) for key, one in list(value.items())[:CUT]}
    return value


def _status(problem: Exception) -> int:
    """The status of the refusal that a tool turned into its error; 200 where the tool just said no."""
    if isinstance(problem, AuditUnavailable):
        return problem.status
    cause = getattr(problem.__cause__, "status", None)
    return cause if isinstance(cause, int) else 500 if problem.__cause__ is not None else 200

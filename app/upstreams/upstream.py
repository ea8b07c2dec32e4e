"""One upstream: kept connected, its last good list, and calls that never wait for a dead one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import mcp_types as mt
from mcp.shared.dispatcher import ProgressFnT
from mcp.shared.exceptions import MCPError
from pydantic import ValidationError

from app.errors import AppError
from app.upstreams import breaker as breakers
from app.upstreams.apart import Apart
from app.upstreams.entries import Entry, Python
from app.upstreams.errors import (
    OVERSIZE,
    STARTED_ANEW,
    NoAnswer,
    UpstreamBroken,
    UpstreamDown,
    UpstreamTimeout,
    busy,
    down,
    in_words,
    oversize,
    why_of,
)
from app.upstreams.guarded import with_headers
from app.upstreams.kept import Kept, KeptFile, KeptUnusable, all_accepted
from app.upstreams.link import Link, lists
from app.upstreams.listing import NOTHING, Listing, listing, nameless
from app.upstreams.pins import Changes, compare, withheld
from app.upstreams.questions import Question, R
from app.upstreams.url_first import refusal

log = logging.getLogger("brain.upstreams")

START_SECONDS = 60.0  # to start, to negotiate and to list: `npx` may have to install it first
PROBE_SECONDS = 5.0
FIRST_SECONDS = 10.0  # a call waits for the very first try to connect
LOOK_EVERY = 60.0  # seconds between two looks at its lists
QUEUE = 1000  # calls may wait for a place

Open = Callable[[Callable[[], None]], AbstractAsyncContextManager[Link]]


class Upstream:
    """Needs `run()` in a task of its own. `changes` is told what appeared, changed or went, and whether
    that is withheld until the operator accepts it."""

    def __init__(
        self,
        entry: Entry,
        open_link: Open,
        kept: KeptFile,
        *,
        clock: Callable[[], float],
        changes: Callable[[Entry, Changes, bool], None] = lambda *_: None,
    ) -> None:
        self.entry, self._open, self._kept = entry, open_link, kept
        self._clock, self._tell = clock, changes
        self._link: Link | None = None
        self._places = asyncio.Semaphore(entry.concurrency)
        self._nudge = asyncio.Event()
        self._visible: tuple[Kept | None, Listing] = (None, NOTHING)
        self._work = Apart(strange=isinstance(entry.to, Python))
        self._leaving = asyncio.Event()
        self._left_out: tuple[str, ...] = ()
        self._said = ""  # why the last try failed
        self.breaker = breakers.CLOSED
        self.tried = asyncio.Event()

    @property
    def calls(self) -> int:
        """That are under way."""
        return len(self._work)

    @property
    def up(self) -> bool:
        return self._link is not None and self.breaker.closed

    @property
    def known(self) -> bool:
        """Whether there is a list of it, from now or from before."""
        return self._kept.current() is not None

    def visible(self) -> Listing:
        """What may be listed: the last good list, without what waits to be accepted."""
        kept = self._kept.current()
        if kept is not self._visible[0]:
            self._visible = (kept, self._of(kept))
        return self._visible[1]

    def _of(self, kept: Kept | None) -> Listing:
        if kept is None:
            return NOTHING
        if not self.entry.pin:
            return kept.seen
        return kept.seen.without(withheld(kept.accepted, kept.seen.digests()))

    async def ask(
        self,
        question: Question[R],
        *,
        progress: ProgressFnT | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> R:
        """Its answer. Raises an AppError of errors.py; at once when it is known not to answer.

        Runs in a context of its own: nothing of the caller's request can be read there.
        """
        if not self.tried.is_set():  # we have only just started
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.tried.wait(), FIRST_SECONDS)
        if not self.up:
            raise down(self.entry.name, self.breaker.why)
        if len(self._work) >= self.entry.concurrency + QUEUE:
            raise busy(self.entry.name)
        return await self._work.run(self._asked(question, progress, headers or {}))

    async def _asked(
        self, question: Question[R], progress: ProgressFnT | None, headers: Mapping[str, str]
    ) -> R:
        if self._places.locked():
            await self._wait_for_a_place()
        else:
            await self._places.acquire()  # at once
        try:
            with with_headers(headers):
                return await self._answer(question, progress)
        finally:
            self._places.release()

    async def _wait_for_a_place(self) -> None:
        try:
            async with asyncio.timeout(self.entry.timeout):
                await self._places.acquire()
        except TimeoutError:
            raise busy(self.entry.name) from None

    async def _answer(self, question: Question[R], progress: ProgressFnT | None) -> R:
        link, name = self._link, self.entry.name
        if link is None:
            raise down(name, self.breaker.why)
        try:
            answer = await question(link.session, self.entry.timeout, progress)
        except MCPError as problem:
            raise self._failed(link, problem) from None
        except ValidationError:
            self._failure("it sends what is not MCP")
            raise UpstreamBroken(f"The upstream `{name}` sent an answer that is not MCP.") from None
        self.breaker = breakers.answered(self.breaker)
        return answer

    def _failed(self, link: Link, problem: MCPError) -> AppError:
        name, code = self.entry.name, problem.error.code
        if not isinstance(problem, NoAnswer):
            self.breaker = breakers.answered(self.breaker)
            return refusal(problem)
        if code in (mt.CONNECTION_CLOSED, STARTED_ANEW):
            return down(name, link.why() or in_words(problem))
        if code == OVERSIZE:
            self.breaker = breakers.answered(self.breaker)
            return oversize(name, self.entry.max_result)
        why = in_words(problem)
        self._failure(why)
        if code == mt.REQUEST_TIMEOUT:
            return UpstreamTimeout(
                f"The upstream `{name}` did not answer within {self.entry.timeout} seconds. "
                "Whether it did what it was asked to is not known."
            )
        return UpstreamBroken(f"The upstream `{name}` gave no usable answer: {why}.")

    def _failure(self, why: str) -> None:
        self.breaker = breakers.failed(self.breaker, self._clock(), why)
        if not self.breaker.closed:
            log.warning("upstream %s: left alone for now, %s", self.entry.name, why)
            self._nudge.set()

    def leave(self) -> None:
        """Before `run` is cancelled."""
        self._leaving.set()

    async def run(self) -> None:
        """Connects, and connects again, until `leave` and a cancellation."""
        while not self._leaving.is_set():
            whole = why = "it closed the connection"
            cause: BaseException | None = None
            try:
                whole = why = await self._connected()
            except asyncio.CancelledError:
                raise
            except (Exception, BaseExceptionGroup) as problem:
                why, whole = why_of(problem), why_of(problem, whole=True)
                cause = problem.__cause__ if isinstance(problem, UpstreamDown) else None
            if (
                self._leaving.is_set()
            ):  # a connection that breaks while it is cancelled swallows the cancellation
                return
            self.breaker = breakers.lost(self.breaker, self._clock(), why)
            self.tried.set()
            pause = self.breaker.wait(self._clock())
            again = whole == self._said  # its traceback is in the log already
            log.warning(
                "upstream %s: %s; tried again in %.0f s",
                *(self.entry.name, whole, pause),
                exc_info=None if again else cause,
            )
            self._said = whole
            await asyncio.sleep(pause)

    async def _connected(self) -> str:
        """From the start of a connection to its end; returns why it ended."""
        why = "it closed the connection"
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(START_SECONDS):
                link = await stack.enter_async_context(self._open(self.look_again))
                self._adopt(await lists(link.session))
            self._link, self.breaker, self._said = link, breakers.probed(self.breaker), ""
            self.tried.set()
            log.info("upstream %s: connected, %d tools", self.entry.name, len(self.visible().tools))
            try:
                why = await self._watch(link)
            finally:
                self._link = None
        return why

    async def _watch(self, link: Link) -> str:
        while True:
            pause = LOOK_EVERY if self.breaker.closed else self.breaker.wait(self._clock())
            await self._nudged(link, pause)
            if link.line.ended.done():
                return link.why() or link.line.ended.result()
            if not self.breaker.closed and not self.breaker.probe_due(self._clock()):
                continue
            if (why := await self._probe(link)) is not None:
                if not self.breaker.closed:
                    return why
                self._failure(why)

    async def _nudged(self, link: Link, seconds: float) -> None:
        """Until the connection ends, somebody nudges, or the time is over."""
        nudge = asyncio.ensure_future(self._nudge.wait())
        waiting: set[asyncio.Future[Any]] = {link.line.ended, nudge}
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            nudge.cancel()
        self._nudge.clear()

    async def _probe(self, link: Link) -> str | None:
        """Asks for its lists; why there was no answer, or None."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                found = await lists(link.session)
        except TimeoutError:
            return "it did not answer in time"
        except MCPError as problem:
            return in_words(problem)
        except ValidationError:
            return "it sends what is not MCP"
        self._adopt(found)
        if not self.breaker.closed:
            log.info("upstream %s: answers again", self.entry.name)
            self.breaker = breakers.probed(self.breaker)
        return None

    def look_again(self) -> None:
        """Soon: its lists may be other ones."""
        self._nudge.set()

    def _adopt(self, found: Mapping[str, Any]) -> None:
        """The list is good: keep it, and say what is not as it was."""
        now, before = listing(found), self._kept.as_written()
        before_left_out, self._left_out = self._left_out, nameless(found)
        if self._left_out and self._left_out != before_left_out:
            log.warning(
                "upstream %s: names that cannot be used: %s", self.entry.name, ", ".join(self._left_out[:20])
            )
        if before is not None and before.seen == now:
            return
        digests = now.digests()
        kept = all_accepted(now) if before is None or not self.entry.pin else before.followed_by(now)
        try:
            self._kept.write(kept)
        except KeptUnusable as problem:
            log.error("upstream %s: %s", self.entry.name, problem.public)
            self._kept.hold(kept)
        if before is not None and (changes := compare(before.seen.digests(), digests)):
            self._tell(self.entry, changes, bool(withheld(kept.accepted, digests)))

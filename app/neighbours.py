"""The other MCP servers put together: from upstreams.toml to tools behind the gate."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial

from fastmcp import FastMCP

from app.audit.events import Report, reload_event, upstream_event
from app.audit.recorder import Request
from app.doors.http import App
from app.doors.paths import as_json, page
from app.mcp_server import completion_handler, is_own, mount
from app.oauth.keys import SigningKeys
from app.oauth.resource import resource_of
from app.settings import Settings
from app.settings.table import TABLE
from app.upstreams.entries import Entry, Python, Upstreams, UpstreamsInvalid, Url
from app.upstreams.in_process import forget_variables
from app.upstreams.kept import KeptFile
from app.upstreams.link import Place, link
from app.upstreams.mounted import Mounted
from app.upstreams.pins import Changes
from app.upstreams.telling import Teller
from app.upstreams.upstream import Upstream
from app.upstreams.watched import LOOK_EVERY, Watched

log = logging.getLogger("brain.upstreams")

END_SECONDS = 10.0  # that one may take to leave: programs have two, connections one
FIRST_WAIT = 5.0  # seconds that a start waits for upstreams of which no list is known yet


class Neighbours:
    """The upstreams of the file, as it is. `jwks`: the app of /jwks, where one is told who calls."""

    def __init__(
        self,
        file: Watched,
        make: Callable[[Entry], Upstream],
        mounted: Mounted,
        report: Report,
        jwks: App | None,
    ) -> None:
        self._file, self._make, self._mounted = file, make, mounted
        self._report, self.jwks = report, jwks
        self._tasks: dict[Upstream, asyncio.Task[None]] = {}
        self.upstreams: tuple[Upstream, ...] = ()
        self._show(file.found)

    def has(self, name: str) -> bool:
        """Whether a tool is one of theirs."""
        return self._mounted.tool(name) is not None

    def shown_by(self, show: Callable[[str, str, str, Callable[[], Mapping[str, float]]], None]) -> None:
        """The metrics of /metrics: which of them answer, and what they are busy with."""

        def by_name(value: Callable[[Upstream], float]) -> Mapping[str, float]:
            return {one.entry.name: value(one) for one in self.upstreams}

        ups, calls = "Whether an upstream answers.", "Calls of an upstream that are under way."
        show("brain_upstream_up", ups, "upstream", lambda: by_name(lambda one: one.up))
        show("brain_upstream_calls", calls, "upstream", lambda: by_name(lambda one: one.calls))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connected while this lasts. A start waits for nobody whose tools it knows already."""
        self._start(self.upstreams)
        watching = asyncio.create_task(self._watch(), name="upstreams file")
        try:
            new = [one.tried.wait() for one in self.upstreams if not one.known]
            if new:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.gather(*new), FIRST_WAIT)
            yield
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            await self._end(tuple(self._tasks))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            try:
                await self._look()
            except Exception:  # whatever it is: a watcher that dies of it would be silent
                log.exception("%s could not be taken over", self._file.path)

    async def _look(self) -> None:
        before = self._file.found
        try:
            found = self._file.news()
        except UpstreamsInvalid as invalid:
            problem = invalid.public
            log.error("THE UPSTREAMS STAY AS THEY WERE, %s is not usable: %s", self._file.path, problem)
            self._report(reload_event("upstreams", problem))
            return
        if found is not None:
            await self._take_over(found, before)

    async def _take_over(self, found: Upstreams, before: Upstreams) -> None:
        """What is as it was stays connected; what is not ends before what came in its place starts."""
        for line in _after_a_restart(found, before, tells=self.jwks is not None):
            log.warning("upstreams: %s counts after a restart", line)
        self._show(found)
        await self._end(tuple(self._tasks.keys() - set(self.upstreams)))
        self._start(one for one in self.upstreams if one not in self._tasks)
        log.warning("upstreams reloaded from %s: %d", self._file.path, len(self.upstreams))
        self._report(reload_event("upstreams", None))

    def _show(self, found: Upstreams) -> None:
        if any(isinstance(entry.to, Python) for entry in found.entries):
            forget_variables(_ours(found))
        before = {one.entry: one for one in self.upstreams}
        self.upstreams = tuple(before.get(entry) or self._make(entry) for entry in found.entries)
        self._mounted.show(self.upstreams)

    def _start(self, upstreams: Iterable[Upstream]) -> None:
        for one in upstreams:
            self._tasks[one] = asyncio.create_task(one.run(), name=f"upstream {one.entry.name}")

    async def _end(self, upstreams: Sequence[Upstream]) -> None:
        """Until they have, or for END_SECONDS: whoever does not end must not keep the others."""
        for one in upstreams:
            one.leave()
            self._tasks[one].cancel()
        if upstreams:
            _, late = await asyncio.wait([self._tasks[one] for one in upstreams], timeout=END_SECONDS)
            for task in late:
                log.error("%s does not end", task.get_name())
        for one in upstreams:
            del self._tasks[one]


def neighbours(
    settings: Settings,
    server: FastMCP,
    file: Watched,
    *,
    request: Callable[[], Request],
    report: Report,
    now: Callable[[], float],
    environ: Mapping[str, str] = os.environ,
) -> Neighbours:
    """Mounts what `file` says on `server`. Nothing is connected yet. Raises KeysUnusable."""
    place = Place(settings.upstreams_file.parent, dict(environ), time.monotonic)
    keys = _keys(settings, now) if any(entry.tell_caller for entry in file.found.entries) else None
    teller = Teller(keys.sign, settings.base_url, lambda: request().principal, now) if keys else None
    mounted = Mounted(teller or (lambda _: None), partial(is_own, server))
    mount(server, mounted, mounted.tool)

    @cache
    def with_completions() -> None:
        server.add_completion_handler(mounted.completions(completion_handler(server)))

    def made(entry: Entry) -> Upstream:
        with_completions()  # a server that has none of them does not say that it completes
        return Upstream(
            entry,
            partial(link, entry, place),
            KeptFile(settings.data_dir, entry.name, time.monotonic),
            clock=time.monotonic,
            changes=partial(_report, report),
        )

    async def jwks() -> tuple[int, str, bytes]:
        return as_json(200, {} if keys is None else keys.jwks(now()))

    return Neighbours(file, made, mounted, report, page(jwks) if keys else None)


def _keys(settings: Settings, now: Callable[[], float]) -> SigningKeys:
    """Those of the inner OAuth server, or where it is off, such as it would have."""
    return SigningKeys(
        settings.data_dir,
        algorithm=settings.oauth_signing_alg,
        issuer=settings.base_url,
        resource=resource_of(settings.base_url),
        now=now,
        new_id=lambda: secrets.token_urlsafe(16),
    )


def _ours(found: Upstreams) -> set[str]:
    """The variables of our settings, and those that hold an upstream's credential."""
    names = {variable.name for variable in TABLE}
    for entry in found.entries:
        values = [value for _, value in getattr(entry.to, "env", ())]
        if isinstance(entry.to, Url):
            values += [value for _, value in entry.to.headers]
            values += [entry.to.bearer] if entry.to.bearer else []
        names |= {value.text for value in values if value.source == "env"}
    return names


def _after_a_restart(found: Upstreams, before: Upstreams, *, tells: bool) -> Iterator[str]:
    if found.brain != before.brain:
        yield f"brain = {str(found.brain).lower()}"
    if not tells and any(entry.tell_caller for entry in found.entries):
        yield "tell_caller, of the first that is told,"


def _report(report: Report, entry: Entry, changes: Changes, withheld: bool) -> None:
    words = changes.in_words()
    consequence = f"; withheld until `brain upstreams accept {entry.name}`" if withheld else ""
    log.warning("upstream %s: not as it was: %s%s", entry.name, words, consequence)
    report(upstream_event(entry.name, words, withheld=withheld))

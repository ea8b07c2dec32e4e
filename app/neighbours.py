"""The other MCP servers put together: from upstreams.toml to tools behind the gate."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from fastmcp import FastMCP

from app.audit.events import Report, upstream_event
from app.audit.recorder import Request
from app.doors.http import App
from app.doors.paths import as_json, page
from app.mcp_server import completion_handler, is_own, mount
from app.oauth.keys import SigningKeys
from app.oauth.resource import resource_of
from app.settings import Settings
from app.settings.table import TABLE
from app.upstreams.entries import Entry, Python, Upstreams, Url
from app.upstreams.in_process import forget_variables
from app.upstreams.kept import KeptFile
from app.upstreams.link import Place, link
from app.upstreams.mounted import Mounted
from app.upstreams.pins import Changes
from app.upstreams.telling import Teller
from app.upstreams.upstream import Upstream

log = logging.getLogger("brain.upstreams")

FIRST_WAIT = 5.0  # seconds that a start waits for upstreams of which no list is known yet


@dataclass(frozen=True, slots=True)
class Neighbours:
    """`has`: whether a tool is one of theirs. `jwks`: the app of /jwks, where one is told who calls."""

    upstreams: tuple[Upstream, ...]
    has: Callable[[str], bool]
    jwks: App | None

    def shown_by(self, show: Callable[[str, str, str, Callable[[], Mapping[str, float]]], None]) -> None:
        """The metrics of /metrics: which of them answer, and what they are busy with."""
        by_name = {one.entry.name: one for one in self.upstreams}
        if not by_name:
            return
        ups, calls = "Whether an upstream answers.", "Calls of an upstream that are under way."
        show("brain_upstream_up", ups, "upstream", lambda: {name: one.up for name, one in by_name.items()})
        show("brain_upstream_calls", calls, "upstream", lambda: {n: one.calls for n, one in by_name.items()})

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Connected while this lasts. A start waits for nobody whose tools it knows already."""
        tasks = [asyncio.create_task(one.run(), name=f"upstream {one.entry.name}") for one in self.upstreams]
        try:
            new = [one.tried.wait() for one in self.upstreams if not one.known]
            if new:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.gather(*new), FIRST_WAIT)
            yield
        finally:
            for one, task in zip(self.upstreams, tasks, strict=True):
                one.leave()
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def neighbours(
    settings: Settings,
    server: FastMCP,
    found: Upstreams,
    *,
    request: Callable[[], Request],
    report: Report,
    now: Callable[[], float],
    environ: Mapping[str, str] = os.environ,
) -> Neighbours:
    """Mounts `found` on `server`. Nothing is connected yet. Raises KeysUnusable."""
    place = Place(settings.upstreams_file.parent, dict(environ), time.monotonic)
    if any(isinstance(entry.to, Python) for entry in found.entries):
        forget_variables(_ours(found))
    upstreams = tuple(
        Upstream(
            entry,
            partial(link, entry, place),
            KeptFile(settings.data_dir, entry.name, time.monotonic),
            clock=time.monotonic,
            changes=partial(_report, report),
        )
        for entry in found.entries
    )
    keys = _keys(settings, now) if any(entry.tell_caller for entry in found.entries) else None
    teller = Teller(keys.sign, settings.base_url, lambda: request().principal, now) if keys else None
    mounted = Mounted(upstreams, teller or (lambda _: None), partial(is_own, server))
    mount(server, mounted, mounted.tool)
    if upstreams:
        server.add_completion_handler(mounted.completions(completion_handler(server)))

    async def jwks() -> tuple[int, str, bytes]:
        return as_json(200, {} if keys is None else keys.jwks(now()))

    return Neighbours(upstreams, lambda name: mounted.tool(name) is not None, page(jwks) if keys else None)


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


def _report(report: Report, entry: Entry, changes: Changes, withheld: bool) -> None:
    words = changes.in_words()
    consequence = f"; withheld until `brain upstreams accept {entry.name}`" if withheld else ""
    log.warning("upstream %s: not as it was: %s%s", entry.name, words, consequence)
    report(upstream_event(entry.name, words, withheld=withheld))

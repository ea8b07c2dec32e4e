"""The public side of the stand-in Cloudflare: every hostname of the zone, and the team's own domain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from email.utils import formatdate
from typing import Protocol
from urllib.parse import urlsplit

import httpx2
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.simulator.access import PREFIX, access_app
from app.simulator.admission import admit
from app.simulator.application import Application
from app.simulator.authorization import authorization_app
from app.simulator.coverage import most_specific
from app.simulator.edge import own_answer
from app.simulator.managed_oauth import AUTHORIZATION_SERVER, ENDPOINTS, authorization_server
from app.simulator.relay import Relay, Way
from app.simulator.team import Team
from app.simulator.tenant import Tenant

EDGE = {"server": "cloudflare", "cf-ray": "0000000000000000-SIM"}


class WaysIn(Protocol):
    def way_to(self, tunnel_id: str) -> httpx2.AsyncBaseTransport | None:
        """A connection of that tunnel, or None while no connector is there."""
        ...


@dataclass
class Faults:
    """What is broken on purpose; may be changed at any time."""

    challenged_agents: tuple[str, ...] = ()
    """Parts of a User-Agent whose requests a bot rule answers, before Access is asked."""
    blocked_agents: tuple[str, ...] = ()
    """The same for the browser integrity check: error 1010."""
    status: int | None = None
    """Answered in the origin's place, after Access."""
    idle_seconds: float = 120.0
    skew_seconds: float = 0.0
    """How far this edge's clock, in `Date`, is ahead of everybody's."""


class PublicEdge:
    """An ASGI application for TLS. Order as in the original: bot rules, Access, tunnel."""

    def __init__(self, team: Team, tenant: Tenant, ways: WaysIn) -> None:
        self.faults = Faults()
        self._team = team
        self._tenant = tenant
        self._ways = ways
        self._relay = Relay(team.country)
        applications = TenantApplications(tenant)
        self._access: ASGIApp = access_app(team, applications)
        self._oauth: ASGIApp = authorization_app(team, applications)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request, send = Request(scope, receive), self._dated(send)
        onward = self._onward(request)
        if isinstance(onward, Way):
            await self._relay.carry(request, onward, receive, send)
        else:
            await onward(scope, receive, send)

    def close(self) -> None:
        self._relay.close()

    def _dated(self, send: Send) -> Send:
        """Every answer of the edge says when it was given."""

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(self._team.now() + self.faults.skew_seconds, usegmt=True)
                kept = [(name, value) for name, value in message["headers"] if name.lower() != b"date"]
                message = {**message, "headers": [*kept, (b"date", date.encode())]}
            await send(message)

        return sending

    def _onward(self, request: Request) -> ASGIApp | Way:
        """The way to the origin, or the answer that comes instead."""
        host = hostname(request.headers.get("host", ""))
        if host == self._team.domain:
            return self._of_team(request.url.path)
        if (stopped := self._bot_rules(request)) is not None:
            return stopped
        if not self._tenant.resolves(host):
            return failed(403, "1001")
        application = self._application(host, request.url.path)
        if (answer := own_answer(request, self._team, application, self._access)) is not None:
            return answer
        admitted = admit(request, self._team, application)
        if isinstance(admitted, Response):
            return admitted
        if self.faults.status is not None:
            return failed(self.faults.status, str(self.faults.status))
        tunnel_id = self._tenant.tunnel_of(host)
        if tunnel_id is None:
            return failed(522, "522")  # a record that leads elsewhere, where nobody answers
        if (transport := self._ways.way_to(tunnel_id)) is None:
            return failed(530, "1033")
        return Way(application, admitted, transport, f"https://{host}")

    def _of_team(self, path: str) -> ASGIApp:
        if path == AUTHORIZATION_SERVER:
            return JSONResponse(authorization_server(self._team.issuer))
        if path.startswith(ENDPOINTS):
            return self._oauth
        return self._access if path.startswith(PREFIX) else PlainTextResponse("", 404)

    def _application(self, host: str, path: str) -> Application:
        """What stands in front of this URL; where nothing does, an application that asks nobody."""
        found = most_specific(self._tenant.applications(), host, path)
        found = found or Application("", bypass=("*",))
        return replace(found, host=host, access_url=self._team.issuer, idle_seconds=self.faults.idle_seconds)

    def _bot_rules(self, request: Request) -> Response | None:
        agent = request.headers.get("user-agent", "").lower()
        if any(part.lower() in agent for part in self.faults.challenged_agents):
            headers = {**EDGE, "cf-mitigated": "challenge"}
            return HTMLResponse("<!DOCTYPE html><title>Just a moment...</title>", 403, headers)
        if any(part.lower() in agent for part in self.faults.blocked_agents):
            return failed(403, "1010")
        return None


class TenantApplications:
    """The applications of a tenant, as the pages of its team ask for them."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    def tagged(self, host: str, aud: str) -> Application | None:
        found = next((each for each in self._tenant.applications() if each.aud == aud), None)
        return replace(found, host=host) if found and self._tenant.resolves(host) else None

    def at(self, host: str) -> Application | None:
        found = most_specific(self._tenant.applications(), hostname(host), "/")
        return replace(found, host=hostname(host)) if found else None

    def covering(self, url: str) -> Application | None:
        """The application that a resource (RFC 8707) is behind."""
        parts = urlsplit(url)
        host = (parts.hostname or "").lower()
        found = most_specific(self._tenant.applications(), host, parts.path or "/")
        return replace(found, host=host) if found and parts.scheme == "https" else None

    def all(self) -> list[Application]:
        return self._tenant.applications()

    def auds(self) -> Sequence[str]:
        return [each.aud for each in self._tenant.applications()]


def failed(status: int, code: str) -> Response:
    """Cloudflare's answer where an origin could not give one."""
    return PlainTextResponse(f"error code: {code}", status, EDGE)


def hostname(header: str) -> str:
    """The name in a Host header, without its port."""
    return (urlsplit(f"//{header}").hostname or "").lower()

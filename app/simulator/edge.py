"""Cloudflare's edge, as far as an origin can tell: one public hostname in front of one origin."""

from __future__ import annotations

import uuid

import httpx2
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app.simulator.access import PREFIX, access_app
from app.simulator.admission import admit
from app.simulator.application import Application
from app.simulator.fixed import FixedApplication
from app.simulator.managed_oauth import metadata
from app.simulator.relay import Relay, Way
from app.simulator.team import Team

POOL = httpx2.Limits(max_connections=None, max_keepalive_connections=50)


class Edge:
    """An ASGI application. `close()` ends every request in flight, for a shutdown that waits for nobody."""

    def __init__(self, team: Team, application: Application) -> None:
        self.team = team
        self.application = application
        self.access: ASGIApp = access_app(team, FixedApplication(team, application))
        self.connector = str(uuid.uuid4())
        self._relay = Relay(team.country)
        self._transports: dict[str | None, httpx2.AsyncHTTPTransport] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        answer = own_answer(request, self.team, self.application, self.access)
        if answer is not None:
            await answer(scope, receive, send)
            return
        admitted = admit(request, self.team, self.application)
        if isinstance(admitted, Response):
            await admitted(scope, receive, send)
            return
        origin = self.application.origin
        url = "http://unix" if origin.startswith("unix:") else f"http://{origin}"
        way = Way(self.application, admitted, self._transport(), url, self.connector)
        await self._relay.carry(request, way, receive, send)

    @property
    def in_flight(self) -> int:
        return self._relay.in_flight

    async def close(self) -> None:
        self._relay.close()
        for transport in self._transports.values():
            await transport.aclose()

    def _transport(self) -> httpx2.AsyncHTTPTransport:
        origin = self.application.origin
        uds = origin.removeprefix("unix:") if origin.startswith("unix:") else None
        if uds not in self._transports:
            self._transports[uds] = httpx2.AsyncHTTPTransport(uds=uds, trust_env=False, limits=POOL)
        return self._transports[uds]


def own_answer(request: Request, team: Team, application: Application, access: ASGIApp) -> ASGIApp | None:
    """What never reaches an origin: wrong hostnames, Cloudflare's paths, Managed OAuth's documents."""
    path = request.url.path
    if not application.answers_to(request.headers.get("host", "")):
        return PlainTextResponse("error code: 1001", 403)
    if path.startswith(PREFIX):
        return access
    if path.startswith("/cdn-cgi/"):
        return PlainTextResponse("", 404)
    document = metadata(path, application.url, team.issuer) if application.managed_oauth else None
    return JSONResponse(document) if document else None

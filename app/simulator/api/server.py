"""The stand-in API over HTTP: which call needs which permission, the faults, the journal."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.simulator.api import access, applications, permissions, tunnels, zones
from app.simulator.api.account import Account, Call
from app.simulator.api.asked import Asked
from app.simulator.api.envelope import Refused, failed, succeeded
from app.simulator.api.faults import Fault, RateLimit
from app.simulator.api.permissions import ApiToken
from app.simulator.server import LoopbackServer, address, listen

PREFIX = "/client/v4"
READS = ("GET",)

Answer = Callable[[Asked], Response]


@dataclass
class Serving:
    """A running stand-in API. `faults` and `rate` may be changed at any time; the next call sees them."""

    account: Account
    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    rate: RateLimit | None = None

    @property
    def journal(self) -> list[Call]:
        return self.account.journal

    def writes(self) -> list[str]:
        """`METHOD path` of every call so far that may have changed something."""
        return [f"{call.method} {call.path}" for call in self.journal if call.method not in READS]


def token_verify(asked: Asked) -> Response:
    message = {"code": 10000, "message": "This API Token is valid and active", "type": None}
    return succeeded({"id": asked.token.id, "status": asked.token.status}, [message])


# Path below /client/v4, methods, the permission (None: any token), whether reading needs Edit too.
_ACCOUNT = "/accounts/{account_id}"
_ACCESS = f"{_ACCOUNT}/access"
_TUNNEL = f"{_ACCOUNT}/cfd_tunnel"
_ZONE = "/zones/{zone_id}"
_FIREWALL = f"{_ZONE}/rulesets"
CALLS: tuple[tuple[str, tuple[str, ...], str | None, Answer], ...] = (
    ("/user/tokens/verify", ("GET",), None, token_verify),
    (f"{_ACCOUNT}/tokens/verify", ("GET",), None, token_verify),
    (f"{_ACCESS}/organizations", ("GET",), permissions.ORGANIZATIONS, access.organization),
    (f"{_ACCESS}/identity_providers", ("GET",), permissions.ORGANIZATIONS, access.identity_providers),
    (f"{_ACCESS}/groups", ("GET", "POST"), permissions.ORGANIZATIONS, access.groups),
    (f"{_ACCESS}/policies", ("GET", "POST"), permissions.APPS, access.policies),
    (f"{_ACCESS}/policies/{{policy_id}}", ("GET", "PUT", "DELETE"), permissions.APPS, access.policy),
    (f"{_ACCESS}/service_tokens", ("GET", "POST"), permissions.SERVICE_TOKENS, access.service_tokens),
    (
        f"{_ACCESS}/service_tokens/{{token_id}}",
        ("GET", "PUT", "DELETE"),
        permissions.SERVICE_TOKENS,
        access.service_token,
    ),
    (f"{_ACCESS}/service_tokens/{{token_id}}/rotate", ("POST",), permissions.SERVICE_TOKENS, access.rotate),
    (f"{_ACCESS}/service_tokens/{{token_id}}/refresh", ("POST",), permissions.SERVICE_TOKENS, access.refresh),
    (f"{_ACCESS}/apps", ("GET", "POST"), permissions.APPS, applications.applications),
    (f"{_ACCESS}/apps/{{app_id}}", ("GET", "PUT", "DELETE"), permissions.APPS, applications.application),
    (f"{_ACCESS}/apps/{{app_id}}/revoke_tokens", ("POST",), permissions.APPS, applications.revoke_tokens),
    (_TUNNEL, ("GET", "POST"), permissions.TUNNEL, tunnels.tunnels),
    (f"{_TUNNEL}/{{tunnel_id}}", ("GET", "PATCH", "DELETE"), permissions.TUNNEL, tunnels.tunnel),
    (f"{_TUNNEL}/{{tunnel_id}}/token", ("GET",), permissions.TUNNEL, tunnels.token),
    (
        f"{_TUNNEL}/{{tunnel_id}}/configurations",
        ("GET", "PUT"),
        permissions.TUNNEL,
        tunnels.configuration,
    ),
    (f"{_TUNNEL}/{{tunnel_id}}/connections", ("GET", "DELETE"), permissions.TUNNEL, tunnels.connections),
    ("/zones", ("GET",), permissions.ZONE, zones.zones),
    (f"{_ZONE}/dns_records", ("GET", "POST"), permissions.DNS, zones.records),
    (f"{_ZONE}/dns_records/{{record_id}}", ("GET", "PUT", "PATCH", "DELETE"), permissions.DNS, zones.record),
    (
        f"{_FIREWALL}/phases/{zones.FIREWALL_PHASE}/entrypoint",
        ("GET", "PUT"),
        permissions.WAF,
        zones.firewall,
    ),
    (f"{_FIREWALL}/{{ruleset_id}}/rules", ("POST",), permissions.WAF, zones.firewall_rules),
    (
        f"{_FIREWALL}/{{ruleset_id}}/rules/{{rule_id}}",
        ("PATCH", "DELETE"),
        permissions.WAF,
        zones.firewall_rule,
    ),
)


@contextlib.asynccontextmanager
async def serving(account: Account, *, bind: str = "127.0.0.1", port: int = 0) -> AsyncIterator[Serving]:
    """The API on loopback until the block ends; `url` is for CLOUDFLARE_API_BASE."""
    run = Serving(account)
    bound = listen(bind, port)
    run.url = f"http://{address(bound)}{PREFIX}"
    server = await LoopbackServer.start(api_app(run), bound)
    try:
        yield run
    finally:
        for fault in run.faults:
            if fault.hold is not None:
                fault.hold.set()
        await server.stop()


def api_app(run: Serving) -> ASGIApp:
    routes = [
        Route(PREFIX + path, _endpoint(run, permission, answer), methods=list(methods))
        for path, methods, permission, answer in CALLS
    ]
    return Starlette(routes=routes, exception_handlers={404: _no_route, 405: _no_method})


async def _no_route(_request: Request, _problem: Exception) -> Response:
    return failed(404, 7003, "Could not route to that path, perhaps your object identifier is invalid?")


async def _no_method(_request: Request, _problem: Exception) -> Response:
    return failed(405, 10405, "Method not allowed for this authentication scheme")


def _endpoint(run: Serving, permission: str | None, answer: Answer) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        text = await request.body()
        path = request.url.path.removeprefix(PREFIX)
        met = [fault for fault in run.faults if fault.meets(request.method, path)]  # each of them counts it
        fault = met[0] if met else None
        if fault is not None and fault.when == "before":
            response = await _fail(fault)
        elif run.rate is not None and (wait := run.rate.wait(run.account.now())):
            response = failed(429, 10429, "Rate limited. Please wait.", f"{wait:.3f}")
        else:
            response = _answer(run.account, request, permission, text, answer)
            if fault is not None:
                response = await _fail(fault)
        status = 0 if isinstance(response, _Cut) else response.status_code
        body = json.loads(text) if text else None
        run.account.journal.append(Call(request.method, path, request.url.query, body, status))
        return response

    return endpoint


def _answer(
    account: Account, request: Request, permission: str | None, text: bytes, answer: Answer
) -> Response:
    try:
        token = _token(account, request)
        edit = request.method not in READS
        if request.path_params.get("account_id", account.id) != account.id:
            raise Refused(403, 9109, "Unauthorized to access requested resource")
        if permission is not None and not token.may(permission, edit=edit):
            raise Refused(403, 10000, "Authentication error")
        # A tunnel's token opens the tunnel: to read it is to be able to run it.
        if answer is tunnels.token and not token.may(permission or "", edit=True):
            raise Refused(401, 1001, "Not authorized")
        try:
            body = json.loads(text) if text else None
        except ValueError:
            raise Refused(400, 6007, "Malformed JSON in request body") from None
        asked = Asked(account, token, request.method, request.path_params, request.query_params, body)
        return answer(asked)
    except Refused as refused:
        return refused.response()


def _token(account: Account, request: Request) -> ApiToken:
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not value:
        raise Refused(400, 6003, "Invalid request headers")
    token = account.tokens.get(value)
    if token is None and request.url.path.endswith("/zones"):
        raise Refused(403, 9109, "Invalid access token")
    if token is None:
        raise Refused(401, 1000, "Invalid API Token")
    if token.status != "active":
        raise Refused(401, 1000, "Invalid API Token")
    return token


async def _fail(fault: Fault) -> Response:
    fault.reached.set()
    if fault.hold is not None:
        await fault.hold.wait()
    if fault.status:
        return failed(fault.status, 10429 if fault.status == 429 else 10001, "Fault", fault.retry_after)
    return _Cut()


class _Cut(Response):
    """Begins to answer and stops: the server then cuts the connection."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-length", b"100")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{", "more_body": True})

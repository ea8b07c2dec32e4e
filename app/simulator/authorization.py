"""The authorization server of Managed OAuth: clients register, a person logs in, the edge takes the bearer.

Cloudflare One, "Managed OAuth": `resource` (RFC 8707) and PKCE are mandatory, tokens are opaque, and where a
code may go is a list of the application.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from app.oauth import pkce
from app.pages import page
from app.simulator.application import Application, is_loopback
from app.simulator.managed_oauth import ENDPOINTS
from app.simulator.policies import Visitor
from app.simulator.team import BEARER_SECONDS, Team

NOT_ALLOWED = "redirect_uri is not allowed by the account configuration"


class Resources(Protocol):
    """Which applications there are, for an authorization server."""

    def covering(self, url: str) -> Application | None: ...

    def all(self) -> list[Application]: ...


@dataclass(frozen=True)
class Login:
    """What a code or a refresh token stands for."""

    email: str
    client_id: str
    redirect_uri: str
    resource: str
    challenge: str


class OAuthError(Exception):
    def __init__(self, code: str, description: str) -> None:
        super().__init__(description)
        self.code = code


def authorization_app(team: Team, resources: Resources) -> Starlette:
    clients: dict[str, list[str]] = {}
    codes: dict[str, Login] = {}
    refreshes: dict[str, Login] = {}

    async def register(request: Request) -> Response:
        asked = await request.json()
        uris = asked.get("redirect_uris") or []
        applications = [each for each in resources.all() if each.managed_oauth]
        if not uris or not all(any(may_get(uri, each) for each in applications) for uri in uris):
            raise OAuthError("invalid_client_metadata", NOT_ALLOWED)
        if "code" not in asked.get("response_types", ["code"]):
            raise OAuthError("invalid_client_metadata", "response_types must include code")
        client_id = secrets.token_urlsafe(16)
        clients[client_id] = list(uris)
        return JSONResponse({**asked, "client_id": client_id, "token_endpoint_auth_method": "none"}, 201)

    async def authorize(request: Request) -> Response:
        query = request.query_params
        uri, application = query.get("redirect_uri", ""), resources.covering(query.get("resource", ""))
        if application is None or not application.managed_oauth:
            raise OAuthError("invalid_target", "resource names no application with Managed OAuth")
        if uri not in clients.get(query.get("client_id", ""), []) or not may_get(uri, application):
            raise OAuthError("invalid_request", NOT_ALLOWED)
        if query.get("code_challenge_method") != pkce.METHOD:
            raise OAuthError("invalid_request", "code_challenge_method must be S256")
        if request.method == "GET":
            return page(
                "login.html",
                form_action=(uri,),
                host=application.host,
                team=team.domain,
                people=list(team.people.values()),
            )
        person = team.people.get(str((await request.form()).get("email", "")))
        answer = {"error": "access_denied"}
        if person and application.admits(Visitor(email=person.email, groups=person.groups)):
            login = Login(
                person.email, query["client_id"], uri, query["resource"], query.get("code_challenge", "")
            )
            code = secrets.token_urlsafe(24)
            codes[code] = login
            answer = {"code": code, "iss": team.issuer}
        state = {"state": query["state"]} if "state" in query else {}
        return RedirectResponse(f"{uri}{'&' if '?' in uri else '?'}{urlencode(answer | state)}", 303)

    async def token(request: Request) -> Response:
        form = {name: str(value) for name, value in (await request.form()).items()}
        if not form.get("resource"):
            raise OAuthError("invalid_target", "resource is required")
        if form.get("grant_type") == "authorization_code":
            login = codes.pop(form.get("code", ""), None)
            proved = login is not None and _proves(form.get("code_verifier", ""), login.challenge)
            if login is None or not proved or login.redirect_uri != form.get("redirect_uri"):
                raise OAuthError("invalid_grant", "the code is not good")
        else:
            login = refreshes.pop(form.get("refresh_token", ""), None)
            if login is None:
                raise OAuthError("invalid_grant", "the refresh token is not good")
        application = resources.covering(login.resource)
        if application is None or form["resource"] != login.resource:
            raise OAuthError("invalid_target", "not the resource of the authorization")
        refresh = secrets.token_urlsafe(32)
        refreshes[refresh] = login
        issued = {
            "access_token": team.managed_oauth_token(login.email, application.aud),
            "token_type": "Bearer",
            "expires_in": BEARER_SECONDS,
            "refresh_token": refresh,
        }
        return JSONResponse(issued, headers={"cache-control": "no-store"})

    async def revoke(request: Request) -> Response:
        given = str((await request.form()).get("token", ""))
        team.end_bearer(given)
        refreshes.pop(given, None)
        return Response()

    async def refused(_request: Request, problem: Exception) -> Response:
        code = problem.code if isinstance(problem, OAuthError) else "server_error"
        return JSONResponse({"error": code, "error_description": str(problem)}, 400)

    return Starlette(
        routes=[
            Route(f"{ENDPOINTS}/registration", register, methods=["POST"]),
            Route(f"{ENDPOINTS}/authorization", authorize, methods=["GET", "POST"]),
            Route(f"{ENDPOINTS}/token", token, methods=["POST"]),
            Route(f"{ENDPOINTS}/revoke", revoke, methods=["POST"]),
        ],
        exception_handlers={OAuthError: refused},
    )


def may_get(uri: Any, application: Application) -> bool:
    """Whether this application's list lets a code go to `uri`."""
    if not isinstance(uri, str):
        return False
    if application.redirects_on_this_machine and is_loopback(urlsplit(uri).hostname):
        return True
    return any(
        uri.startswith(allowed[:-1]) if allowed.endswith("/*") else uri == allowed
        for allowed in application.redirects
    )


def _proves(verifier: str, challenge: str) -> bool:
    return pkce.is_verifier(verifier) and pkce.proves(verifier, challenge)

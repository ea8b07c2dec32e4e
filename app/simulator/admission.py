"""Whom the edge lets through to the origin, and what it answers the others."""

from __future__ import annotations

import json
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.pages import page
from app.simulator.application import Application
from app.simulator.policies import Visitor
from app.simulator.team import Team

COOKIE = "CF_Authorization"
CLIENT_ID, CLIENT_SECRET = "cf-access-client-id", "cf-access-client-secret"


@dataclass(frozen=True)
class Admitted:
    """What the edge tells the origin. `email` is None for a service token, `cookie` is one to set.

    `by_bearer`: the request's `Authorization` was Access's own, so it ends at the edge.
    """

    assertion: str
    email: str | None = None
    cookie: str | None = None
    by_bearer: bool = False


def admit(request: Request, team: Team, application: Application) -> Admitted | Response | None:
    """Who this is, None where nobody is asked, or the answer that stops the request at the edge."""
    if application.bypasses(request.url.path):
        return None
    if application.options_preflight_bypass and request.method == "OPTIONS":
        return None
    if CLIENT_ID in request.headers or CLIENT_SECRET in request.headers:
        service = _service(request, team, application)
        if service is not None:
            return service
        if application.strict_service_token_auth or application.service_auth_401_redirect:
            return _refused(401, "The service token is not accepted.")
    elif (person := _person(request, team, application)) is not None:
        return person
    return _ask(request, team, application)


def token_of(request: Request) -> str | None:
    """The application token in the cookie. Not `request.cookies`: two cookies of that name are possible."""
    for header in request.headers.getlist("cookie"):
        try:
            morsel = SimpleCookie(header).get(COOKIE)
        except CookieError:
            continue
        if morsel is not None:
            return morsel.value
    return None


def _service(request: Request, team: Team, application: Application) -> Admitted | None:
    ids, values = request.headers.getlist(CLIENT_ID), request.headers.getlist(CLIENT_SECRET)
    if len(ids) != 1 or len(values) != 1:
        return None
    token = team.service_of(ids[0], values[0])
    if token is None or not application.admits(Visitor(service_token=token.id)):
        return None
    assertion = team.session(token.client_id, team.service_token, application.aud)
    return Admitted(assertion, cookie=None if application.strict_service_token_auth else assertion)


def _person(request: Request, team: Team, application: Application) -> Admitted | None:
    aud = application.aud or team.aud
    for token in (request.headers.get("cf-access-token"), token_of(request)):
        # Identity selectors were asked at the login, as Access does; only a session's end asks again.
        person = team.person_of(token, aud) if token else None
        if token and person:
            return Admitted(token, email=person.email)
    scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
    person = team.person_of_bearer(bearer, aud) if scheme.lower() == "bearer" else None
    if person is None or not application.admits(Visitor(email=person.email, groups=person.groups)):
        return None
    return Admitted(team.session(person.email, team.token, aud), email=person.email, by_bearer=True)


def _ask(request: Request, team: Team, application: Application) -> Response:
    """Browsers go and log in. Other clients are told where the authorization server is, if there is one."""
    if request.method == "OPTIONS" and "access-control-request-method" in request.headers:
        return _refused(403, "A preflight carries no credential.")
    if request.headers.get("x-requested-with") == "XMLHttpRequest":
        return _refused(401, "The session has ended. Log in again.")
    metadata = f"{application.url}/.well-known/cloudflare-access-protected-resource{request.url.path}"
    if application.managed_oauth and "text/html" not in request.headers.get("accept", ""):
        challenge = f'Bearer realm="OAuth", error="invalid_token", resource_metadata="{metadata}"'
        return JSONResponse({"error": "invalid_token"}, 401, headers={"www-authenticate": challenge})
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    login = (
        f"{application.access_url}/cdn-cgi/access/login/{application.host}"
        f"?kid={application.aud or team.aud}&redirect_url={quote(target, safe='')}"
    )
    challenge = f'Cloudflare-Access resource_metadata="{metadata}"'
    return RedirectResponse(login, 302, headers={"www-authenticate": challenge})


def _refused(status: int, sentence: str) -> Response:
    return page(
        "error.html",
        status=status,
        title="Cloudflare Access (simulated) says no",
        headline=sentence,
        headers={"cf-access-error": json.dumps(sentence)},
    )

"""The team's own pages and documents: certs, get-identity, log in, log out.

The same paths answer on the team's address and, through the edge, on the application's.
"""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from app.pages import page
from app.simulator.admission import COOKIE, token_of
from app.simulator.application import Application
from app.simulator.identity import identity
from app.simulator.team import Team

PREFIX = "/cdn-cgi/access/"


def access_app(team: Team, application: Application) -> Starlette:
    async def certs(_request: Request) -> Response:
        return await team.certs.publish()

    async def get_identity(request: Request) -> Response:
        return await team.identities.respond(lambda: whole_identity(request))

    def whole_identity(request: Request) -> Response:
        token = token_of(request) or ""
        person = team.person_of(token)
        if person is None:
            # The status for a missing or revoked session is not documented; 401 is our assumption.
            return JSONResponse({"err": "no app token set"}, 401)
        return JSONResponse(identity(team, person, team.verified(token) or {}))

    async def login(request: Request) -> Response:
        if request.path_params["host"] != application.host:
            return page(
                "error.html", status=404, title="Not found", headline="This team has no such application."
            )
        path = local_path(request.query_params.get("redirect_url", "/"))
        if request.method == "POST":
            return await choose(request, path)
        return page(
            "login.html",
            form_action=(application.url,),
            host=application.host,
            team=team.domain,
            people=list(team.people.values()),
        )

    async def choose(request: Request, path: str) -> Response:
        email = str((await request.form()).get("email", ""))
        if email not in team.people:
            return page(
                "error.html", status=403, title="No access", headline="The team does not know this person."
            )
        query = urlencode({"nonce": team.begin_login(email, path)})
        return RedirectResponse(f"{application.url}{PREFIX}authorized?{query}", 303)

    async def authorized(request: Request) -> Response:
        login = team.finish_login(request.query_params.get("nonce", ""))
        if login is None:
            return page(
                "error.html", status=400, title="Login is over", headline="This login was used already."
            )
        email, path = login
        response = RedirectResponse(path, 302)
        set_token_cookie(response, team.token(email))
        return response

    async def logout(request: Request) -> Response:
        person = team.person_of(token_of(request) or "")
        if person is not None:
            team.revoke(person.email)
        response = page(
            "error.html",
            title="Logged out",
            headline="You are logged out.",
            link=(f"{application.url}/", "Log in again"),
        )
        response.delete_cookie(COOKIE, path="/")
        return response

    return Starlette(
        routes=[
            Route(f"{PREFIX}certs", certs),
            Route(f"{PREFIX}get-identity", get_identity),
            Route(f"{PREFIX}login/{{host}}", login, methods=["GET", "POST"]),
            Route(f"{PREFIX}authorized", authorized),
            Route(f"{PREFIX}logout", logout),
        ]
    )


def set_token_cookie(response: Response, token: str) -> None:
    # Not Secure, as it is in the original: this edge speaks http on loopback.
    response.set_cookie(COOKIE, token, path="/", httponly=True, samesite="lax")


def local_path(target: str) -> str:
    """`target` where it is a path of the application, else `/`: the login redirects nowhere else."""
    is_path = target.startswith("/") and not target.startswith("//") and "\\" not in target
    return target if is_path and target.isprintable() else "/"

"""The team's own pages and documents: certs, get-identity, log in, log out.

The same paths answer on the team's address and, through the edge, on the application's.
"""

from __future__ import annotations

from email.utils import formatdate
from urllib.parse import urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from app.pages import page
from app.simulator.admission import COOKIE, token_of
from app.simulator.application import Application, Applications
from app.simulator.identity import identity
from app.simulator.policies import Visitor
from app.simulator.team import Team

PREFIX = "/cdn-cgi/access/"


def access_app(team: Team, applications: Applications) -> Starlette:
    async def certs(_request: Request) -> Response:
        answer = await team.certs.publish()
        answer.headers["date"] = formatdate(team.now(), usegmt=True)
        return answer

    async def get_identity(request: Request) -> Response:
        return await team.identities.respond(lambda: whole_identity(request))

    def whole_identity(request: Request) -> Response:
        token = token_of(request) or ""
        person = team.person_of(token, *applications.auds())
        if person is None:
            # The status for a missing or revoked session is not documented; 401 is our assumption.
            return JSONResponse({"err": "no app token set"}, 401)
        return JSONResponse(identity(team, person, team.verified(token, *applications.auds()) or {}))

    async def login(request: Request) -> Response:
        application = applications.tagged(request.path_params["host"], request.query_params.get("kid", ""))
        if application is None:
            return page(
                "error.html", status=404, title="Not found", headline="This team has no such application."
            )
        path = local_path(request.query_params.get("redirect_url", "/"))
        if request.method == "POST":
            return await choose(request, application, path)
        return page(
            "login.html",
            form_action=(application.url,),
            host=application.host,
            team=team.domain,
            people=list(team.people.values()),
        )

    async def choose(request: Request, application: Application, path: str) -> Response:
        person = team.people.get(str((await request.form()).get("email", "")))
        if person is None:
            headline = "The team does not know this person."
            return page("error.html", status=403, title="No access", headline=headline)
        if not application.admits(Visitor(email=person.email, groups=person.groups)):
            headline = "No policy of this application lets this person in."
            return page("error.html", status=403, title="No access", headline=headline)
        query = urlencode({"nonce": team.begin_login(person.email, path, application.aud)})
        return RedirectResponse(f"{application.url}{PREFIX}authorized?{query}", 303)

    async def authorized(request: Request) -> Response:
        login = team.finish_login(request.query_params.get("nonce", ""))
        if login is None:
            return page(
                "error.html", status=400, title="Login is over", headline="This login was used already."
            )
        email, path, aud = login
        response = RedirectResponse(path, 302)
        set_token_cookie(response, team.token(email, aud=[aud]))
        return response

    async def logout(request: Request) -> Response:
        person = team.person_of(token_of(request) or "", *applications.auds())
        if person is not None:
            team.revoke(person.email)
        application = applications.at(request.headers.get("host", ""))
        response = page(
            "error.html",
            title="Logged out",
            headline="You are logged out.",
            link=(f"{application.url}/", "Log in again") if application else None,
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

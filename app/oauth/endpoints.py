"""The endpoints that programs use, and all routes of the authorization server."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from app.audit.events import Report
from app.doors.http import App
from app.errors import AppError
from app.oauth import events, metadata
from app.oauth.authority import Authority
from app.oauth.client_auth import credentials
from app.oauth.errors import RegistrationError, TokenError
from app.oauth.forms import BadForm, Form, read_json
from app.oauth.introspect import introspect
from app.oauth.limits import Limits
from app.oauth.opened import Listed, nothing_listed
from app.oauth.recording import for_request, refused
from app.oauth.registration import register
from app.oauth.revoke import revoke
from app.oauth.scopes import default_scopes, known_scopes, requested
from app.oauth.screens import Screens
from app.oauth.token import token
from app.oauth.views import Pages
from app.oauth.wire import Asked, Reply, endpoint, json_error, json_reply

READERS = ("content-type", "mcp-protocol-version")
CALLERS = ("authorization", *READERS)

Step = Callable[[list[bytes], Form, Authority], Awaitable[Reply]]


@dataclass(frozen=True, slots=True)
class Routes:
    """By exact raw path. `public` for everybody, `signed_in` for a person whom the door let in.

    Both need their `Cookie` and `Authorization` headers.
    """

    public: dict[str, App]
    signed_in: dict[str, App]


def routes(
    authority: Authority,
    *,
    pages: Pages,
    now: Callable[[], float],
    count: Report,
    keys: Callable[[float], dict[str, Any]] | None = None,
    login_origin: str | None = None,
    tools: Listed = nothing_listed,
) -> Routes:
    """`keys`: the JWK Set at a time. `login_origin`: where a browser is sent whose login has ended (Access).

    `count` is told of refusals that are too many to go on record. `tools`: what the server lists, for the
    consent page to say what a scope opens.
    """
    limits = Limits(now)
    programs = Programs(authority, limits, now, count)
    screens = Screens(authority, pages, limits, now, count=count, login_origin=login_origin, tools=tools)
    found, missing = programs.document, programs.missing
    resource = endpoint(
        {"GET": found(programs.resource), "HEAD": found(programs.resource)}, json_error, cors=READERS
    )
    server = endpoint(
        {"GET": found(programs.server), "HEAD": found(programs.server)}, json_error, cors=READERS
    )
    openid = endpoint(
        {"GET": found(programs.openid), "HEAD": found(programs.openid)}, json_error, cors=READERS
    )
    nothing = endpoint({"GET": missing, "HEAD": missing}, json_error, cors=READERS)
    public = {
        metadata.RESOURCE_PATH: resource,
        metadata.RESOURCE_PATH + "/mcp": resource,
        metadata.SERVER_PATH: server,
        metadata.OPENID_PATH: openid,
        # The issuer has no path, so there is nothing here (RFC 8414 §3.1); old clients look nevertheless.
        metadata.SERVER_PATH + "/mcp": nothing,
        metadata.OPENID_PATH + "/mcp": nothing,
        "/register": endpoint({"POST": programs.register}, json_error, cors=CALLERS),
        "/token": endpoint({"POST": programs.token}, json_error, cors=CALLERS),
        "/revoke": endpoint({"POST": programs.revoke}, json_error, cors=CALLERS),
        # RFC 7662 §4: for servers, so without CORS.
        "/introspect": endpoint({"POST": programs.introspect}, json_error),
    }
    if keys is not None:
        found_keys = found(lambda: keys(now()))
        public["/jwks"] = endpoint({"GET": found_keys, "HEAD": found_keys}, json_error, cors=READERS)
    signed_in = {
        "/authorize": endpoint({"GET": screens.authorize}, screens.error),
        "/consent": endpoint({"GET": screens.again, "POST": screens.answer}, screens.error),
    }
    return Routes(public, signed_in)


class Programs:
    def __init__(self, authority: Authority, limits: Limits, now: Callable[[], float], count: Report) -> None:
        self._authority, self._limits, self._now, self._count = authority, limits, now, count

    # Discovery

    def document(self, content: Callable[[], dict[str, Any]]) -> Callable[[Asked], Awaitable[Reply]]:
        async def answer(asked: Asked) -> Reply:
            return json_reply(200, content(), cache_control=f"public, max-age={metadata.SECONDS}")

        return answer

    async def missing(self, asked: Asked) -> Reply:
        return json_reply(404, {"error": "not_found", "error_description": "Nothing is described here."})

    def resource(self) -> dict[str, Any]:
        authority = self._authority
        scopes = default_scopes(authority.policy(), authority.challenge)
        return metadata.protected_resource(authority.issuer, scopes)

    def server(self) -> dict[str, Any]:
        return self._described(metadata.authorization_server)

    def openid(self) -> dict[str, Any]:
        return self._described(metadata.openid_configuration)

    def _described(self, describe: Callable[..., dict[str, Any]]) -> dict[str, Any]:
        authority = self._authority
        scopes = known_scopes(authority.policy())
        return describe(authority.issuer, scopes, documents=authority.documents is not None)

    # Registration

    async def register(self, asked: Asked) -> Reply:
        authority = self._for(asked)
        try:
            self._limits.register(asked.network)
            body = read_json(await asked.json())
            client, answer = register(
                body, scopes=_told(body.get("scope"), authority), random=authority.random, now=self._now()
            )
        except BadForm as error:
            raise RegistrationError("invalid_client_metadata", str(error)) from None
        except AppError as error:
            self._refused(authority, "register", "", error)
            raise
        await authority.store.add_client(client)
        authority.report(events.registered(client))
        return json_reply(201, answer)

    # Tokens

    async def token(self, asked: Asked) -> Reply:
        return await self._called(asked, "token", self._token)

    async def revoke(self, asked: Asked) -> Reply:
        return await self._called(asked, "revoke", self._revoke)

    async def introspect(self, asked: Asked) -> Reply:
        return await self._called(asked, "introspect", self._introspect)

    async def _token(self, authorization: list[bytes], form: Form, authority: Authority) -> Reply:
        _, answer = await token(authorization, form, authority, self._now())
        return json_reply(200, answer)

    async def _revoke(self, authorization: list[bytes], form: Form, authority: Authority) -> Reply:
        await revoke(authorization, form, authority, self._now())
        return Reply(200, {"cache-control": "no-store"})

    async def _introspect(self, authorization: list[bytes], form: Form, authority: Authority) -> Reply:
        _, answer = await introspect(authorization, form, authority, self._now())
        return json_reply(200, answer)

    async def _called(self, asked: Asked, operation: str, step: Step) -> Reply:
        """One step for a client: limited, and on record where it is refused."""
        authority, network = self._for(asked), asked.network
        form, authorization = await asked.form(), asked.header(b"authorization")
        client_id = _claimed(authorization, form)
        try:
            self._limits.let_try(network, client_id)
            return await step(authorization, form, authority)
        except AppError as error:
            self._limits.failed(network, client_id, error)
            self._refused(authority, operation, client_id, error)
            raise

    def _for(self, asked: Asked) -> Authority:
        return for_request(self._authority, asked)

    def _refused(self, authority: Authority, operation: str, client_id: str, error: AppError) -> None:
        refused(authority.report, self._count, operation, client_id, error)


def _claimed(authorization: list[bytes], form: Form) -> str:
    try:
        return credentials(authorization, form).client_id[:200]
    except TokenError:
        return ""


def _told(scope: object, authority: Authority) -> tuple[str, ...]:
    """The scopes that a registration's answer names; whatever it asked for, it is no error."""
    policy = authority.policy()
    default = default_scopes(policy, authority.challenge)
    try:
        return requested(scope if isinstance(scope, str) else None, policy, default)
    except ValueError:
        return default

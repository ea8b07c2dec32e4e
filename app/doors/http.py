"""What both doors do with a request: read its raw head, refuse it, or let it in as somebody."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from mcp.server.auth.middleware.auth_context import auth_context_var
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.authentication import AuthCredentials

from app.errors import AppError
from app.principal import Principal

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

MAX_BODY = 4 * 1024 * 1024
# What the server behind a door has no use for and must not pass on.
SECRETS = frozenset({b"cookie", b"authorization", b"proxy-authorization"})
_HOST = re.compile(rb"(\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,255})(?::([0-9]{1,5}))?")
_BAD_PATH = re.compile(rb"//|\\|%2e|%5c|%00|/\.{1,2}(?:/|$)|[\x00-\x20\x7f]", re.IGNORECASE)


class BadRequest(AppError):
    code = "invalid_request"
    status = 400


class WrongHost(AppError):
    code = "wrong_host"
    status = 421


class BadOrigin(AppError):
    code = "bad_origin"
    status = 403


class PeerRefused(AppError):
    code = "forbidden"
    status = 403


class Misrouted(AppError):
    """A request of an edge or a proxy at the LAN door: a tunnel or proxy points at the wrong port."""

    code = "misrouted"
    status = 421


class TooLarge(AppError):
    code = "too_large"
    status = 413


class NotFound(AppError):
    code = "not_found"
    status = 404


class WrongMethod(AppError):
    """`allow`: the methods that the path takes, as in the header of that name (RFC 9110 §15.5.6)."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, allow: str) -> None:
        super().__init__(f"This path takes {allow}.")
        self.allow = allow


@dataclass(frozen=True, slots=True)
class Host:
    """A `Host` or origin host, lower case, brackets off; `port` is None when none is written."""

    name: str
    port: int | None


class LetIn(AuthenticatedUser):
    """The user of a request that a door let in; the SDK and FastMCP see it as theirs."""

    def __init__(self, principal: Principal, token: AccessToken, request_id: str, cf_ray: str) -> None:
        super().__init__(token)
        self.principal = principal
        self.request_id = request_id
        self.cf_ray = cf_ray
        self.instead: AppError | None = None

    def refuse_instead(self, error: AppError) -> None:
        """Replaces the answer by `error`, if none has begun: a tool's error has no HTTP status of its own."""
        self.instead = error


@dataclass(frozen=True, slots=True)
class Visit:
    """A request where nobody has to be known: `scope["visit"]` of the app behind, in place of `user`."""

    request_id: str
    cf_ray: str
    address: str


def shown(scope: Scope) -> str:
    """Method and path for an event: the raw path, which cannot hold a line break."""
    raw: bytes = scope["raw_path"]
    return f"{scope['method']} {raw.decode('latin-1')}"[:200]


def check_path(scope: Scope) -> None:
    """Raises BadRequest for a path that two hops could read differently (cloudflared VULN-141859)."""
    if _BAD_PATH.search(scope["raw_path"]):
        raise BadRequest("The path has dot segments, empty segments or backslashes. Ask for /mcp.")


def check_length(length: bytes | None) -> None:
    """Raises TooLarge before a byte of the body is read; bodies without a length are counted as they come."""
    if length is None:
        return
    if not length.isdigit():
        raise BadRequest("Content-Length is not a number.")
    if int(length) > MAX_BODY:
        raise TooLarge(f"The request is larger than {MAX_BODY} bytes.")


def read_host(values: list[bytes]) -> Host:
    """The one `Host`. Raises WrongHost when there is none, more than one, or a malformed one."""
    if len(values) != 1 or (match := _HOST.fullmatch(values[0])) is None:
        raise WrongHost("Exactly one well-formed Host header is needed.")
    port = match[2]
    return Host(match[1].strip(b"[]").decode().lower(), None if port is None else int(port))


def read_origin(values: list[bytes]) -> tuple[str, Host] | None:
    """(scheme, host) of the `Origin`, None without one. Raises BadOrigin for `null`, two, or anything odd."""
    if not values:
        return None
    scheme, separator, host = values[0].partition(b"://")
    match = _HOST.fullmatch(host)
    if len(values) != 1 or not separator or scheme not in (b"http", b"https") or match is None:
        raise BadOrigin("Requests from this web origin are not accepted.")
    port = match[2]
    return scheme.decode(), Host(match[1].strip(b"[]").decode().lower(), None if port is None else int(port))


async def refuse(
    send: Send, error: AppError, request_id: str = "", headers: Headers = (), *, head: bool = False
) -> None:
    """The one way a refusal leaves: JSON of two fields, never cached. Behind a door the id is added there."""
    body = json.dumps(error.body()).encode()
    extra = list(headers)
    if request_id:
        extra.append((b"x-request-id", request_id.encode()))
    if error.retry_after is not None:
        extra.append((b"retry-after", str(error.retry_after).encode()))
    if isinstance(error, WrongMethod):
        extra.append((b"allow", error.allow.encode()))
    if error.challenge is not None:
        extra.append((b"www-authenticate", error.challenge.encode()))
    await send(
        {
            "type": "http.response.start",
            "status": error.status,
            "headers": [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
                (b"x-content-type-options", b"nosniff"),
                *extra,
            ],
        }
    )
    await send({"type": "http.response.body", "body": b"" if head else body})


async def let_in(
    app: App,
    scope: Scope,
    receive: Receive,
    send: Send,
    user: LetIn,
    headers: list[tuple[bytes, bytes]],
) -> None:
    """Runs `app` as `user` with `headers` for the request's own; the answer carries the request id."""
    inner = {**scope, "headers": headers, "user": user, "auth": AuthCredentials(user.scopes)}
    request_id = (b"x-request-id", user.request_id.encode())

    replaced = False

    async def send_with_id(message: Message) -> None:
        nonlocal replaced
        if message["type"] == "http.response.start":
            if user.instead is not None:
                replaced = True
                await refuse(send, user.instead, user.request_id)
                return
            message["headers"] = [*message.get("headers", ()), request_id]
        if not replaced:
            await send(message)

    # The SDK binds sealed request state and sessions to this variable, FastMCP reads the scope.
    before = auth_context_var.set(user)
    try:
        await app(inner, receive, send_with_id)
    finally:
        auth_context_var.reset(before)


async def let_anybody_in(
    app: App,
    scope: Scope,
    receive: Receive,
    send: Send,
    visit: Visit,
    headers: list[tuple[bytes, bytes]],
) -> None:
    """Runs `app` for nobody in particular; the answer carries the request id."""
    request_id = (b"x-request-id", visit.request_id.encode())

    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", ()), request_id]
        await send(message)

    inner = {**scope, "headers": headers, "visit": visit, "request_id": visit.request_id}
    await app(inner, receive, send_with_id)


@lru_cache(maxsize=4096)
def access_token(principal: Principal) -> AccessToken:
    """The SDK's view of a principal: a digest for a token, so that nothing secret can leak from it."""
    name = f"{principal.kind}:{principal.id}:{principal.subject}:{principal.client}"
    return AccessToken(
        token=sha256(name.encode()).hexdigest(),
        client_id=principal.client or principal.door,
        scopes=sorted(principal.token_scopes or ()),
        subject=principal.id,
        claims={"iss": principal.door, "sub": principal.id},
    )

"""The HTTP of the authorization server: a request read once, a reply sent once, errors in one place."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.doors.http import App, LetIn, Receive, Scope, Send, TooLarge, WrongMethod
from app.doors.rates import network_of, one_address, peer
from app.errors import AppError
from app.oauth.errors import PageError, TokenError
from app.oauth.forms import FORM, JSON, MAX_BYTES, BadForm, Form, check_type, read_form

ADDRESS = b"cf-connecting-ip"


class Gone(Exception):
    """The client hung up; there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class Asked:
    """A request, as the endpoints read it."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._scope, self._receive = scope, receive
        self.method: str = scope["method"]

    def header(self, name: bytes) -> list[bytes]:
        return [value for known, value in self._scope["headers"] if known == name]

    @property
    def user(self) -> LetIn:
        """Whom the door let in. Raises PageError: nobody."""
        user = self._scope.get("user")
        if not isinstance(user, LetIn):
            raise PageError("access_denied", "Sign in through Cloudflare Access first.", status=403)
        return user

    @property
    def trace(self) -> str:
        """The id of the request, from the door."""
        user = self._scope.get("user")
        return user.request_id if isinstance(user, LetIn) else str(self._scope.get("request_id", ""))

    @property
    def cf_ray(self) -> str:
        return next(iter(self.header(b"cf-ray")), b"").decode("latin-1")[:64]

    @property
    def network(self) -> str:
        """Who is limited together. It says nothing about who it is."""
        return network_of(one_address(self.header(ADDRESS)) or peer(self._scope))

    @property
    def raw_query(self) -> bytes:
        query: bytes = self._scope["query_string"]
        return query

    def query(self) -> Form:
        """Raises BadForm."""
        return read_form(self.raw_query)

    async def form(self) -> Form:
        """Raises BadForm or TooLarge."""
        check_type(b"".join(self.header(b"content-type")[:1]), FORM)
        return read_form(await self.body())

    async def json(self) -> bytes:
        """The body of something that may be JSON. Raises BadForm or TooLarge."""
        check_type(b"".join(self.header(b"content-type")[:1]), JSON)
        return await self.body()

    async def body(self) -> bytes:
        """Counted as it comes: a length that is told is not believed."""
        body = b""
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            body += bytes(message.get("body", b""))
            if len(body) > MAX_BYTES:
                raise TooLarge(f"The request is larger than {MAX_BYTES} bytes.")
            if not message.get("more_body"):
                return body


Handler = Callable[[Asked], Awaitable[Reply]]
OnError = Callable[[Asked, AppError], Reply]


def endpoint(handlers: Mapping[str, Handler], on_error: OnError, *, cors: Sequence[str] = ()) -> App:
    """ASGI. `handlers` by method. `cors`: the request headers that pages of any origin may send."""
    allow = ", ".join([*handlers, *(["OPTIONS"] if cors else [])])
    shared = {
        "access-control-allow-origin": "*",
        "access-control-expose-headers": "WWW-Authenticate, Retry-After",
    }

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        asked = Asked(scope, receive)
        try:
            reply = await _reply(asked)
        except Gone:
            return
        except AppError as error:
            reply = on_error(asked, error)
        except BadForm as error:
            reply = on_error(asked, TokenError("invalid_request", str(error)))
        headers = {**reply.headers, **(shared if cors else {})}
        await _send(
            send, reply.status, headers, b"" if asked.method == "HEAD" else reply.body, len(reply.body)
        )

    async def _reply(asked: Asked) -> Reply:
        handler = handlers.get(asked.method)
        if handler is not None:
            return await handler(asked)
        if asked.method == "OPTIONS" and cors:
            return Reply(204, _preflight(allow, cors))
        return json_error(asked, WrongMethod(allow))

    return serve


def _preflight(methods: str, headers: Sequence[str]) -> dict[str, str]:
    return {
        "access-control-allow-methods": methods,
        "access-control-allow-headers": ", ".join(headers),
        "access-control-max-age": "86400",
    }


def json_reply(status: int, value: object, **headers: str) -> Reply:
    """Never cached, unless `headers` say so (RFC 6749 §5.1)."""
    named = {"content-type": "application/json", "cache-control": "no-store", "pragma": "no-cache"}
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    if "cache-control" in given:
        del named["pragma"]
    return Reply(status, {**named, **given}, json.dumps(value).encode())


def redirect_reply(location: str, **headers: str) -> Reply:
    """303 after everything: the form is never sent on (RFC 9700 §4.12)."""
    named = {
        "location": location,
        "cache-control": "no-store",
        "referrer-policy": "no-referrer",
        "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    }
    return Reply(303, {**named, **{name.replace("_", "-"): text for name, text in headers.items()}})


def json_error(asked: Asked, error: AppError) -> Reply:
    """Every refusal of the endpoints that programs use (RFC 6749 §5.2, RFC 7591 §3.2.2)."""
    headers: dict[str, Any] = {}
    if isinstance(error, TokenError) and error.challenge is not None:
        headers["www_authenticate"] = error.challenge
    if isinstance(error, WrongMethod):
        headers["allow"] = error.allow
    if error.retry_after is not None:
        headers["retry_after"] = str(error.retry_after)
    return json_reply(error.status, error.body(), **headers)


async def _send(send: Send, status: int, headers: Mapping[str, str], body: bytes, length: int) -> None:
    named = {"x-content-type-options": "nosniff", "content-length": str(length), **headers}
    listed = [(name.encode(), value.encode("latin-1")) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": listed})
    await send({"type": "http.response.body", "body": body})

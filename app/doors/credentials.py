"""How one proves who one is at the tunnel door: by path, one way in for each class of paths.

Without the inner OAuth server there is one way for all: the assertion. With it, the paths that clients
start with are open, what people see takes the assertion, and the MCP endpoint takes a bearer.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.access.claims import AssertionRefused, Identity
from app.doors.http import Send, refuse
from app.doors.rates import Attempts
from app.errors import AppError
from app.oauth.minting import TokenRefused
from app.principal import Principal

ASSERTION = b"cf-access-jwt-assertion"
AUTHORIZATION = b"authorization"
COOKIE = b"cookie"

ByName = Mapping[bytes, list[bytes]]
Verify = Callable[[bytes], Awaitable[Identity]]
Known = Callable[[ByName, str], Awaitable[Principal | None]]


class Refuse(Protocol):
    async def __call__(self, send: Send, error: AppError, request_id: str, *, head: bool) -> None: ...


class Challenges(Protocol):
    """Puts the challenge onto a refusal that has one."""

    def onto(self, refused: AppError) -> AppError: ...


async def as_json(send: Send, error: AppError, request_id: str, *, head: bool) -> None:
    await refuse(send, error, request_id, head=head)


async def as_page(send: Send, error: AppError, request_id: str, *, head: bool) -> None:
    """For people, in a browser: a page and never a redirect."""
    from app.pages import render, security_headers  # the first visitor pays, not the start

    headline = "Sign in first." if error.status == 401 else "This did not work."
    body = render(
        "error.html",
        title=f"Error {error.status}",
        headline=headline,
        advice=error.public,
        request_id=request_id,
    ).encode()
    named = {
        "content-type": "text/html; charset=utf-8",
        "content-length": str(len(body)),
        "x-request-id": request_id,
        **security_headers(forms=False),
    }
    if error.retry_after is not None:
        named["retry-after"] = str(error.retry_after)
    listed = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": error.status, "headers": listed})
    await send({"type": "http.response.body", "body": b"" if head else body})


@dataclass(frozen=True, slots=True)
class Way:
    """One class of paths. `known`: who is there (None: anybody may come), or raises the refusal.

    `keeps`: the secret headers that the app behind gets to see. `any_origin`: pages of other web origins
    may ask, for nothing here depends on a browser's own credentials.
    """

    known: Known
    keeps: frozenset[bytes] = frozenset()
    any_origin: bool = False
    refuse: Refuse = as_json


async def anybody(_by_name: ByName, _address: str) -> None:
    return None


class Asserted:
    """The one assertion of Access; which of two is meant differs from hop to hop."""

    def __init__(self, verify: Verify, attempts: Attempts) -> None:
        self._verify, self._attempts = verify, attempts

    async def __call__(self, by_name: ByName, address: str) -> Principal:
        """Raises AssertionRefused."""
        values = by_name.get(ASSERTION, [])
        if not values:
            raise AssertionRefused("missing")
        if len(values) != 1:
            raise AssertionRefused("duplicate", f"{len(values)} assertions")
        self._attempts.let_try(address, values[0])
        return (await self._verify(values[0])).principal


class BearerOrAsserted:
    """A bearer of ours, an assertion, or both; then both must be good and mean the same principal.

    The bearer decides, for it is the narrower: it acts for the person, with no more than they consented to.
    An assertion is never a bearer, and a bearer that is no good is never made up for by an assertion.
    """

    def __init__(
        self,
        bearer: Callable[[bytes], Awaitable[Principal]],
        token_in: Callable[[list[bytes]], bytes | None],
        asserted: Asserted,
        attempts: Attempts,
        challenges: Challenges,
        no_token: Callable[[], AppError],
    ) -> None:
        self._bearer, self._token_in, self._asserted = bearer, token_in, asserted
        self._attempts, self._challenges, self._no_token = attempts, challenges, no_token

    async def __call__(self, by_name: ByName, address: str) -> Principal:
        try:
            return await self._known(by_name, address)
        except AppError as refused:
            raise self._challenges.onto(refused)  # noqa: B904 - the same one

    async def _known(self, by_name: ByName, address: str) -> Principal:
        token = self._token_in(by_name.get(AUTHORIZATION, []))
        if token is None:
            if ASSERTION not in by_name:
                raise self._no_token()
            return await self._asserted(by_name, address)
        self._attempts.let_try(address, token)
        principal = await self._bearer(token)
        if ASSERTION in by_name and (await self._asserted(by_name, address)).id != principal.id:
            raise TokenRefused("conflict", "the assertion is another principal's")
        return principal

"""Whether a public name is closed: it is asked as a stranger would ask, and every answer is judged.

The same attempts go to the tunnel door before cloudflared starts, and to the public name after.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from app.errors import AppError

Verdict = Literal["refused", "open", "unreachable"]
Headers = Mapping[str, str]

ASSERTION = "Cf-Access-Jwt-Assertion"
# 400, 421, 429: ours, for what is no good request. 401, 403: Access, cloudflared or we say no.
REFUSALS = frozenset({400, 401, 403, 421, 429})
# What the edge answers while no connector serves the name: 1033 comes as a 530.
NOBODY_THERE = frozenset({502, 503, 504, 521, 522, 523, 530})
BAD_ASSERTION = 502  # cloudflared's own answer to an assertion that does not verify
ATTEMPT_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request of a stranger. `forged`: it brings something made up."""

    name: str
    method: str
    path: str
    headers: Headers = field(default_factory=dict)
    body: bytes = b""
    forged: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """`evidence` is what was seen, in words; never anything of the body."""

    attempt: Attempt
    verdict: Verdict
    evidence: str


def attempts(pages: Sequence[str], *, team: str, aud: str, email: str, now: float) -> tuple[Attempt, ...]:
    """Everything that must be refused at a name whose `/mcp` and `pages` are closed.

    The forgeries say all that a good assertion of `email` for this team and AUD tag would say.
    """
    none: Headers = {}
    made_up = _forgeries(team, aud, email, now)
    found = [_call(name, headers, forged=bool(headers)) for name, headers in (("nothing", none), *made_up)]
    found.append(Attempt("nothing, GET /mcp", "GET", "/mcp", {"Accept": "text/event-stream"}))
    found.append(_call("nothing, /mcp/", none, path="/mcp/"))
    name, headers = made_up[0]
    for path in pages:
        found.append(Attempt(f"nothing, {path}", "GET", path))
        found.append(Attempt(f"{name}, {path}", "GET", path, headers, forged=True))
    return tuple(found)


async def ask(client: httpx2.AsyncClient, attempt: Attempt) -> Answer:
    """`client` has the base URL, and the Host header where that differs."""
    try:
        async with client.stream(
            attempt.method,
            attempt.path,
            headers=dict(attempt.headers),
            content=attempt.body or None,
            timeout=ATTEMPT_SECONDS,
            follow_redirects=False,
        ) as response:
            return Answer(attempt, *judge(attempt, response.status_code, response.headers))
    except httpx2.TimeoutException:
        return Answer(attempt, "unreachable", f"no answer within {ATTEMPT_SECONDS:.0f} s")
    except httpx2.TransportError as problem:
        return Answer(attempt, "unreachable", f"no connection: {problem}")


def judge(attempt: Attempt, status: int, headers: Mapping[str, str]) -> tuple[Verdict, str]:
    """Only what is known to be a refusal is one; whatever else is answered counts as open."""
    location = headers.get("location", "")
    if status in (302, 303) and _is_login(location):
        return "refused", f"{status} to the login of Access"
    if status in REFUSALS:
        return "refused", str(status)
    if status == BAD_ASSERTION and attempt.forged:
        return "refused", f"{status} by cloudflared"
    if status in NOBODY_THERE:
        return "unreachable", f"{status}: no connector serves the name"
    return "open", f"{status}{f' to {location}' if location else ''}"


def _is_login(location: str) -> bool:
    host = httpx2.URL(location).host if "://" in location else ""
    return host.endswith(".cloudflareaccess.com")


def _call(name: str, headers: Headers, *, path: str = "/mcp", forged: bool = False) -> Attempt:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    sent = {
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "Mcp-Protocol-Version": "2025-11-25",
        **headers,
    }
    return Attempt(name, "POST", path, sent, json.dumps(body).encode(), forged)


def _forgeries(team: str, aud: str, email: str, now: float) -> tuple[tuple[str, Headers], ...]:
    claims = {
        "aud": [aud],
        "email": email,
        "exp": int(now) + 3600,
        "iat": int(now) - 10,
        "nbf": int(now) - 10,
        "iss": f"https://{team}.cloudflareaccess.com",
        "type": "app",
        "sub": "00000000-0000-4000-8000-000000000000",
    }
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    signed = jwt.encode(claims, key, algorithm="RS256", headers={"kid": "0" * 64})
    unsigned = jwt.encode(claims, "", algorithm="none", headers={"kid": "0" * 64})
    return (
        ("an assertion that we signed ourselves", {ASSERTION: signed}),
        ("an assertion without a signature", {ASSERTION: unsigned}),
        ("an e-mail address in a header", {"Cf-Access-Authenticated-User-Email": email}),
        ("a made-up cookie", {"Cookie": f"CF_Authorization={signed}"}),
        ("a made-up bearer token", {"Authorization": f"Bearer {signed}"}),
        (
            "a made-up service token",
            {"CF-Access-Client-Id": f"{'0' * 32}.access", "CF-Access-Client-Secret": "0" * 64},
        ),
    )


class NotClosed(AppError):
    """Somebody whom nobody knows was let in."""

    code = "not_closed"


class NotReachable(AppError):
    """Nothing is proven, because nothing answers."""

    code = "not_reachable"


async def prove(
    name: str,
    client: httpx2.AsyncClient,
    strange: Sequence[Attempt],
    *,
    within: float,
    look_every: float = 2.0,
) -> None:
    """Returns when each attempt has been refused. What is not reachable yet is asked again, for `within`
    seconds; DNS and Access take a while. Raises NotClosed at once, NotReachable after that."""
    loop = asyncio.get_running_loop()
    until, left = loop.time() + within, list(strange)
    while left:
        answer = await ask(client, left[0])
        if answer.verdict == "open":
            raise NotClosed(
                f"{name} answered a stranger who brings {answer.attempt.name} with {answer.evidence}, "
                "and that is no refusal."
            )
        if answer.verdict == "refused":
            left.pop(0)
        elif loop.time() > until:
            raise NotReachable(f"{name} could not be asked within {within:.0f} s: {answer.evidence}.")
        else:
            await asyncio.sleep(look_every)


async def prove_gone(
    name: str, client: httpx2.AsyncClient, *, within: float, look_every: float = 2.0
) -> None:
    """Returns when nothing answers any more. Raises NotClosed if something still does after `within`
    seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while (answer := await ask(client, _call("nothing", {}))).verdict != "unreachable":
        if loop.time() > until:
            raise NotClosed(
                f"{name} still answers ({answer.evidence}). If another record of the zone covers the name, "
                "like a `*`, that is not from here; else look again in a minute."
            )
        await asyncio.sleep(look_every)

"""Whether a public name is closed: it is asked as a stranger would ask, and every answer is judged.

The same attempts go to the tunnel door before cloudflared starts, and to the public name after.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx2
import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from app.errors import AppError
from app.tunnel.answers import Answer, Unreached
from app.tunnel.refusals import Refusal, is_silence, judge

Headers = Mapping[str, str]

ASSERTION = "Cf-Access-Jwt-Assertion"
MAX_BODY = 64 * 1024
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
class Judged:
    """`evidence` is what was seen, in words: of the body only the code of an error."""

    attempt: Attempt
    verdict: Refusal
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


async def ask(client: httpx2.AsyncClient, attempt: Attempt, *, team: str, host: str) -> Judged:
    """`client` has the base URL, and the Host header where that differs from `host`, the public name.

    `team`: the Access team before it. Never raises, whatever is answered.
    """
    answer = await _asked(client, attempt)
    if isinstance(answer, Unreached):
        return Judged(attempt, "unreachable", answer.in_short())
    return Judged(attempt, *judge(answer, team=team, host=host, forged=attempt.forged))


async def _asked(client: httpx2.AsyncClient, attempt: Attempt) -> Answer | Unreached:
    try:
        async with asyncio.timeout(ATTEMPT_SECONDS):
            return await _answer(client, attempt)
    except (TimeoutError, httpx2.TimeoutException):
        return Unreached("time", f"{ATTEMPT_SECONDS:.0f} s")
    except (httpx2.HTTPError, httpx2.InvalidURL) as problem:
        return Unreached("connection", str(problem))


async def _answer(client: httpx2.AsyncClient, attempt: Attempt) -> Answer:
    async with client.stream(
        attempt.method,
        attempt.path,
        headers=dict(attempt.headers),
        content=attempt.body or None,
        timeout=ATTEMPT_SECONDS,
        follow_redirects=False,
    ) as response:
        body = bytearray()
        if response.status_code >= 300:  # what lets somebody in may be a stream without an end
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) >= MAX_BODY:
                    break
        headers = {key.lower(): value for key, value in response.headers.items()}
        return Answer(response.status_code, headers, bytes(body[:MAX_BODY]))


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
    """Nothing is proven: nothing answers, or nobody whose no counts."""

    code = "not_reachable"


async def prove(
    name: str,
    client: httpx2.AsyncClient,
    strange: Sequence[Attempt],
    *,
    team: str,
    host: str,
    within: float,
    look_every: float = 2.0,
) -> None:
    """Returns when each attempt has been refused by Access, cloudflared or the tunnel door. What is not
    reachable yet, or is refused by somebody else, is asked again, for `within` seconds; DNS and Access take
    a while. Raises NotClosed at once, NotReachable after that."""
    loop = asyncio.get_running_loop()
    until, left = loop.time() + within, list(strange)
    while left:
        answer = await ask(client, left[0], team=team, host=host)
        if answer.verdict == "open":
            raise NotClosed(
                f"{name} answered a stranger who brings {answer.attempt.name} with {answer.evidence}, "
                "and that is no refusal."
            )
        if answer.verdict == "refused":
            left.pop(0)
        elif loop.time() > until:
            raise NotReachable(_not_proven(name, answer, within))
        else:
            await asyncio.sleep(look_every)


def _not_proven(name: str, answer: Judged, within: float) -> str:
    if answer.verdict == "unreachable":
        return f"{name} could not be asked within {within:.0f} s: {answer.evidence}."
    return (
        f"{name} was not proven closed within {within:.0f} s. A stranger who brings "
        f"{answer.attempt.name} got {answer.evidence}."
    )


async def prove_gone(
    name: str, client: httpx2.AsyncClient, *, within: float, look_every: float = 2.0
) -> None:
    """Returns when nothing answers any more. Raises NotClosed if something still does after `within`
    seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within
    while isinstance(answer := await _asked(client, _call("nothing", {})), Answer) and not is_silence(answer):
        if loop.time() > until:
            raise NotClosed(
                f"{name} still answers ({answer.in_short()}). If another record of the zone covers the name, "
                "like a `*`, that is not from here; else look again in a minute."
            )
        await asyncio.sleep(look_every)

"""Service tokens of Access: made, rotated with an overlap, and watched for their end.

The secret is shown once, so it goes straight into a file of its own. A lost one is rotated, never made anew:
the client id, which the policy names, stays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.errors import AppError
from app.provision.acting import NotSettled, awaited
from app.provision.cloudflare import Cloudflare, Unanswered
from app.provision.files import TunnelFiles
from app.provision.found import Found, Wire
from app.provision.marks import marked, unmarked
from app.provision.people import seconds_left
from app.provision.reading import place, read
from app.provision.state import State

YEAR = "8760h"
OVERLAP = "24h"  # of the two secrets, for `brain tunnel service-token rotate`
WARN_DAYS = 30


class NoServiceToken(AppError):
    code = "no_service_token"


class ServiceTokenTaken(AppError):
    code = "service_token_taken"


@dataclass(frozen=True)
class Kept:
    """`file` holds client id and secret. `old_ends`: until when the secret before it is good, or empty."""

    name: str
    client_id: str
    expires_at: str
    file: Path
    old_ends: str = ""


async def create(api: Cloudflare, files: TunnelFiles, name: str, *, hostname: str) -> Kept:
    """Raises ServiceTokenTaken, BadName. A token whose making was not answered is taken over, with a new
    secret, because nobody knows the first."""
    files.service_token_file(name)
    with files.locked():
        state, found = await _state(api, files, hostname)
        whole = marked(name, hostname)
        known = found.one("service-token", whole)
        if known is not None and state.pending != ("service-token", whole):
            raise ServiceTokenTaken(
                f"There is a service token {name} already. A new secret for it: "
                f"brain tunnel service-token rotate {name}."
            )
        files.keep_state(_pending(state, whole))
        known = known or await _unless_lost(api, found, state, whole)
        made = await _rotated(api, found, known, "") if known else await _made(api, found, whole)
        files.keep_state(state.with_id("service-token", whole, str(made["id"])))
        return _keep(files, name, made)


async def rotate(api: Cloudflare, files: TunnelFiles, name: str, *, hostname: str, old_until: float) -> Kept:
    """A new secret and another year; the old secret is good until then (seconds since the epoch).

    Raises NoServiceToken.
    """
    with files.locked():
        _, found = await _state(api, files, hostname)
        known = found.one("service-token", marked(name, hostname))
        if known is None:
            names = ", ".join(unmarked(str(token["name"])) for token in found.ours("service-token"))
            raise NoServiceToken(f"There is no service token {name} of ours; there is: {names or 'none'}.")
        until = datetime.fromtimestamp(old_until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        made = await _rotated(api, found, known, until)
        kept = _keep(files, name, made, until)
        refreshed = await api.post(f"{place(found, 'service-token', known['id'])}/refresh", {})
        return _keep(files, name, {**made, "expires_at": refreshed["expires_at"]}, kept.old_ends)


def ending(found: Found, now: float, *, days: int = WARN_DAYS) -> tuple[str, ...]:
    """A sentence for each service token of ours that ends within so many days, or has ended."""
    sentences = []
    for token in found.ours("service-token"):
        left = seconds_left(token, now)
        name = unmarked(str(token["name"]))
        fix = f"brain tunnel service-token rotate {name}"
        if left <= 0:
            sentences.append(f"Service token {name} has ended. Renew it: {fix}.")
        elif left < days * 86400:
            sentences.append(f"Service token {name} ends in {left / 86400:.0f} days. Renew it: {fix}.")
    return tuple(sentences)


async def _state(api: Cloudflare, files: TunnelFiles, hostname: str) -> tuple[State, Found]:
    state = files.state()
    found = await read(api, hostname, state)
    fresh = State(hostname, found.account_id, found.zone_id, found.zone, found.team, "access")
    return state or fresh, found


def _pending(state: State, whole: str) -> State:
    return replace(state, pending=("service-token", whole))


async def _unless_lost(api: Cloudflare, found: Found, state: State, whole: str) -> Wire | None:
    """The token of an earlier try whose answer never came."""
    if state.pending != ("service-token", whole):
        return None
    return await awaited(api, found, "service-token", whole)


async def _made(api: Cloudflare, found: Found, whole: str) -> dict[str, Any]:
    try:
        made: dict[str, Any] = await api.post(
            place(found, "service-token"), {"name": whole, "duration": YEAR}
        )
    except Unanswered:
        known = await awaited(api, found, "service-token", whole)
        if known is None:
            raise
        return await _rotated(api, found, known, "")
    return made


async def _rotated(api: Cloudflare, found: Found, token: Wire, until: str) -> dict[str, Any]:
    """Asked again where the answer was lost: the secret that counts is the one that we have read."""
    body = {"previous_client_secret_expires_at": until} if until else {}
    for _ in range(3):
        try:
            made: dict[str, Any] = await api.post(
                f"{place(found, 'service-token', token['id'])}/rotate", body
            )
        except Unanswered:
            continue
        return made
    raise NotSettled("Cloudflare does not answer with the new secret. Run this again.")


def _keep(files: TunnelFiles, name: str, made: Wire, old_ends: str = "") -> Kept:
    client_id, expires_at = str(made["client_id"]), str(made["expires_at"])
    secret = {"client_id": client_id, "client_secret": made["client_secret"], "expires_at": expires_at}
    return Kept(name, client_id, expires_at, files.keep_service_token(name, secret), old_ends)

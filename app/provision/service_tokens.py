"""Service tokens of Access: made, rotated with an overlap, deleted, and watched for their end.

The secret is shown once, so it goes straight into a file of its own. A lost one is rotated, never made anew:
the client id, which the policy names, stays.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.errors import AppError
from app.policy.rules import Rule
from app.provision.acting import NotSettled, awaited, perform
from app.provision.apply import OtherHostname
from app.provision.cloudflare import Cloudflare, CloudflareRefused, Unanswered
from app.provision.files import TunnelFiles
from app.provision.found import Found, Wire
from app.provision.marks import marked, unmarked
from app.provision.people import seconds_left
from app.provision.plan import Step
from app.provision.reading import place, read
from app.provision.state import State

YEAR = "8760h"
OVERLAP = "24h"  # of the two secrets, for `brain tunnel service-token rotate`
WARN_DAYS = 30
IN_USE = 409  # HTTP "Conflict", of what a policy names


class NoServiceToken(AppError):
    code = "no_service_token"


class ServiceTokenTaken(AppError):
    code = "service_token_taken"


class ServiceTokenInUse(AppError):
    code = "service_token_in_use"


@dataclass(frozen=True)
class Kept:
    """`file` holds client id and secret. `old_ends`: until when the secret before it is good, or empty."""

    name: str
    client_id: str
    expires_at: str
    file: Path
    old_ends: str = ""


@dataclass(frozen=True)
class Listed:
    """One of ours at Cloudflare. `file`: with its secret, where that is kept here. `rules`: of the policy,
    those that name it."""

    name: str
    client_id: str
    expires_at: str
    file: Path | None
    rules: tuple[str, ...]


@dataclass(frozen=True)
class Deleted:
    """`client_id` is empty where there was none at Cloudflare, `file` None where no secret was kept here."""

    name: str
    client_id: str
    file: Path | None


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
        _, found = await _seen(api, files, hostname)
        known = found.one("service-token", marked(name, hostname))
        if known is None:
            raise _none_of(name, found)
        until = datetime.fromtimestamp(old_until, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        made = await _rotated(api, found, known, until)
        kept = _keep(files, name, made, until)
        refreshed = await api.post(f"{place(found, 'service-token', known['id'])}/refresh", {})
        return _keep(files, name, {**made, "expires_at": refreshed["expires_at"]}, kept.old_ends)


async def listed(
    api: Cloudflare, files: TunnelFiles, rules: Iterable[Rule], *, hostname: str
) -> tuple[Listed, ...]:
    """All of ours, by name."""
    _, found = await _seen(api, files, hostname)
    tokens = sorted(found.ours("service-token"), key=lambda token: str(token["name"]))
    named = tuple(rules)
    return tuple(_listed(token, files, named) for token in tokens)


def naming(rules: Iterable[Rule], client_id: str) -> tuple[str, ...]:
    """The names of the rules that name it."""
    return tuple(rule.name for rule in rules if client_id in rule.service_tokens)


async def delete(api: Cloudflare, files: TunnelFiles, name: str, *, hostname: str) -> Deleted:
    """It lets nobody in any more, and its secret is no longer kept here; also where somebody has deleted it
    at Cloudflare before. Raises NoServiceToken, ServiceTokenInUse, OtherHostname, BadName."""
    files.service_token_file(name)
    whole = marked(name, hostname)
    with files.locked():
        state, found = await _seen(api, files, hostname)
        ours = [token for token in found.ours("service-token") if token["name"] == whole]
        if not ours and (made := await _unless_lost(api, found, state, whole)):
            found, ours = found.with_object("service-token", made), [made]
        file, remembered = files.kept_service_token(name), whole in state.ids.get("service-token", {})
        if not (ours or file or remembered):
            raise _none_of(name, found)
        files.keep_state(state)
        for token in ours:
            found = await _gone(api, files, found, token)
        files.keep_state(_without(state, whole))
        files.forget_service_token(name)
        return Deleted(name, str(ours[0]["client_id"]) if ours else "", file)


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
    """Raises OtherHostname."""
    state = files.state()
    if state is not None and state.hostname != hostname:  # secrets that are kept here are of that one
        raise OtherHostname(f"{state.hostname} is exposed from here, and not {hostname}.")
    found = await read(api, hostname, state)
    fresh = State(hostname, found.account_id, found.zone_id, found.zone, found.team, "access")
    return state or fresh, found


async def _seen(api: Cloudflare, files: TunnelFiles, hostname: str) -> tuple[State, Found]:
    """The same. Raises PermissionMissing where none is seen because none may be seen."""
    state, found = await _state(api, files, hostname)
    if not found.all("service-token"):
        await api.all(place(found, "service-token"))
    return state, found


def _none_of(name: str, found: Found) -> NoServiceToken:
    names = ", ".join(unmarked(str(token["name"])) for token in found.ours("service-token"))
    return NoServiceToken(f"There is no service token {name} of ours; there is: {names or 'none'}.")


def _listed(token: Wire, files: TunnelFiles, rules: Iterable[Rule]) -> Listed:
    name, client_id = unmarked(str(token["name"])), str(token["client_id"])
    ends = str(token.get("expires_at") or "")
    return Listed(name, client_id, ends, files.kept_service_token(name), naming(rules, client_id))


def _without(state: State, whole: str) -> State:
    known = {name: id for name, id in state.ids.get("service-token", {}).items() if name != whole}
    pending = None if state.pending == ("service-token", whole) else state.pending
    return replace(state, ids={**state.ids, "service-token": known}, pending=pending)


async def _gone(api: Cloudflare, files: TunnelFiles, found: Found, token: Wire) -> Found:
    step = Step("delete", "service-token", str(token["name"]), "it is no longer needed", str(token["id"]))
    try:
        return await perform(api, files, found, step)
    except CloudflareRefused as refused:
        if refused.api_status != IN_USE:
            raise
        id = token["client_id"]
        raise ServiceTokenInUse(
            f"Cloudflare keeps service token {unmarked(step.name)} while an Access policy lets it in. Take "
            f"{id} out of the policy, run `brain tunnel apply`, then this again. `brain deny {id}` shuts it "
            "off at once."
        ) from None


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

"""Performs one step, and sees to it that it can be seen before the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from app.errors import AppError
from app.provision.cloudflare import Cloudflare, CloudflareRefused, Unanswered
from app.provision.differences import differences
from app.provision.files import TunnelFiles
from app.provision.found import Found, Kind, Wire, name_of
from app.provision.marks import unmarked
from app.provision.plan import Step
from app.provision.reading import FIREWALL, find, firewall, place, read_one
from app.provision.state import State

# What the API adds to an object and does not take back.
_READ_ONLY = frozenset(
    {"id", "aud", "created_at", "updated_at", "reusable", "app_count", "self_hosted_domains"}
)
# Access applications, tunnels and DNS records: their names are unique, and taken by the one we look for.
_TAKEN = frozenset({11010, 1013, 81053, 81057, 81058})
_CONNECTED = 1022


class NotSettled(AppError):
    """What was done cannot be seen."""

    code = "not_settled"


async def perform(api: Cloudflare, files: TunnelFiles, found: Found, step: Step) -> Found:
    """What there is after the step; the state file knows it as well, whatever happens next.

    Raises Unanswered, NotSettled, CloudflareRefused, PermissionMissing.
    """
    if step.kind == "configuration":
        return await _configure(api, files, found, step)
    if step.action == "create":
        return await _create(api, files, found, step)
    if step.action == "update":
        return await _update(api, files, found, step)
    return await _delete(api, files, found, step)


async def awaited(api: Cloudflare, found: Found, kind: Kind, name: str) -> Wire | None:
    """What was being made when there was no answer: there in the end, or not at all."""
    seen: list[Wire] = []

    async def shows() -> bool:
        if value := await find(api, found, kind, name):
            seen.append(value)
        return bool(seen)

    await api.until(shows)
    return seen[0] if seen else None


async def _create(api: Cloudflare, files: TunnelFiles, found: Found, step: Step) -> Found:
    state = _state(files)
    files.keep_state(replace(state, pending=(step.kind, step.name)))
    try:
        value = await _post(api, found, step)
    except Unanswered:
        known = await awaited(api, found, step.kind, step.name)
        if known is None:
            raise
        value = known
    except CloudflareRefused as refused:
        known = await awaited(api, found, step.kind, step.name) if refused.api_code in _TAKEN else None
        if known is None:
            files.keep_state(state)
            raise
        value = known
    files.keep_state(state.with_id(step.kind, step.name, str(value["id"])))
    return await _seen(api, _with_ruleset(found, step.kind, value), step, str(value["id"]))


async def _post(api: Cloudflare, found: Found, step: Step) -> Wire:
    if step.kind == "waf-rule":
        return await _add_rule(api, found, step)
    made: Mapping[str, Any] = await api.post(place(found, step.kind), _body(found, step))
    return made


async def _update(api: Cloudflare, files: TunnelFiles, found: Found, step: Step) -> Found:
    path = place(found, step.kind, step.id)
    if step.kind in ("dns-record", "waf-rule"):
        await api.patch(path, _body(found, step))
    else:
        # PUT replaces everything: what we do not set must come back as it was.
        before = await api.get(path) or {}
        kept = {name: value for name, value in before.items() if name not in _READ_ONLY}
        await api.put(path, {**kept, **_body(found, step)})
    files.keep_state(_state(files).with_id(step.kind, step.name, step.id))
    return await _seen(api, found, step, step.id)


async def _configure(api: Cloudflare, files: TunnelFiles, found: Found, step: Step) -> Found:
    """A tunnel has one configuration, so it is put where it belongs whether there is one yet or not."""
    tunnel = found.one("tunnel", step.name)
    if tunnel is None:
        raise NotSettled(f"The tunnel {step.name} is gone. Run this again.")
    id = str(tunnel["id"])
    path = place(found, "configuration", id)
    before = (await api.get(path) or {}).get("config") or {}
    await api.put(path, {"config": {**before, **step.fields}})
    files.keep_state(_state(files).with_id(step.kind, step.name, id))
    return await _seen(api, found, step, id)


async def _delete(api: Cloudflare, files: TunnelFiles, found: Found, step: Step) -> Found:
    path = place(found, step.kind, step.id)
    try:
        await api.delete(path)
    except CloudflareRefused as refused:
        if refused.api_code != _CONNECTED:
            raise
        await api.delete(f"{path}/connections")  # a connector that was not stopped
        await api.delete(path)

    async def gone() -> bool:
        return await read_one(api, found, step.kind, step.id) is None

    if not await api.until(gone):
        raise NotSettled(f"Cloudflare still shows {unmarked(step.name)}, which was deleted. Run this again.")
    files.keep_state(_state(files).without_id(step.kind, step.id))
    return found.without_object(step.kind, step.id)


async def _seen(api: Cloudflare, found: Found, step: Step, id: str) -> Found:
    """Reads the object until it is as the step made it."""
    after, left = found, "it is not there"

    async def settled() -> bool:
        nonlocal after, left
        value = await read_one(api, found, step.kind, id)
        if value is None:
            return False
        after = found.with_object(step.kind, value)
        changed = differences(step.kind, step.fields, value, after) if step.kind != "tunnel" else ()
        left = "; ".join(map(str, changed))
        return not changed

    if not await api.until(settled):
        raise NotSettled(
            f"Cloudflare does not show {unmarked(step.name)} as it was set: {left}. "
            "Run this again in a minute."
        )
    return after


async def _add_rule(api: Cloudflare, found: Found, step: Step) -> Wire:
    """At the end of the zone's custom rules, or as the first of them."""
    body = dict(step.fields)
    if not found.ruleset_id:
        # PUT replaces them all: once more, lest somebody has made the first since it was read.
        found = await firewall(api, found)
    if found.ruleset_id:
        ruleset = await api.post(place(found, "waf-rule"), body)
    else:
        ruleset = await api.put(f"/zones/{found.zone_id}/{FIREWALL}", {"rules": [body]})
    made = [rule for rule in ruleset["rules"] if name_of("waf-rule", rule) == step.name]
    return {**made[-1], "ruleset_id": ruleset["id"]}


def _with_ruleset(found: Found, kind: Kind, value: Wire) -> Found:
    return replace(found, ruleset_id=str(value["ruleset_id"])) if "ruleset_id" in value else found


def _body(found: Found, step: Step) -> dict[str, Any]:
    """The fields as the API takes them: an application names its policies by id."""
    body = dict(step.fields)
    if step.kind == "application":
        known = [found.one("policy", name) for name in body["policies"]]
        ids = [policy["id"] for policy in known if policy is not None]
        body["policies"] = [{"id": id, "precedence": number} for number, id in enumerate(ids, 1)]
    return body


def _state(files: TunnelFiles) -> State:
    state = files.state()
    if state is None:
        raise NotSettled(f"{files.state_file} is gone while it is in use. Run this again.")
    return state

"""Reads what there is at Cloudflare for a hostname."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any

from app.errors import AppError
from app.provision.cloudflare import Cloudflare, PermissionMissing
from app.provision.found import Found, Kind, Wire
from app.provision.marks import tunnel_name
from app.provision.state import State

FIREWALL = "rulesets/phases/http_request_firewall_custom/entrypoint"
_DOMAIN = ".cloudflareaccess.com"
_COLLECTIONS: dict[Kind, str] = {
    "service-token": "/access/service_tokens",
    "policy": "/access/policies",
    "application": "/access/apps",
    "tunnel": "/cfd_tunnel",
}


class NoZone(AppError):
    code = "no_zone"


class NoTeam(AppError):
    code = "no_team"


def place(found: Found, kind: Kind, id: str = "") -> str:
    """The path of an object, or of all of its kind."""
    if kind == "configuration":
        return f"/cfd_tunnel/{id}/configurations"
    if kind == "waf-rule":
        return f"/zones/{found.zone_id}/rulesets/{found.ruleset_id}/rules" + (f"/{id}" if id else "")
    collection = f"/zones/{found.zone_id}/dns_records" if kind == "dns-record" else _COLLECTIONS[kind]
    return f"{collection}/{id}" if id else collection


async def read(api: Cloudflare, hostname: str, state: State | None) -> Found:
    """Everything that a plan needs. Raises NoZone, NoTeam, PermissionMissing (all that are missing).

    What the state knows is asked for by its id too: a list may be behind, or leave out what the API token
    may not see.
    """
    zone = await _zone(api, hostname)
    api.account_id = api.account_id or str(zone["account"]["id"])
    reads = await _together(
        api.get("/access/organizations"),
        api.all("/access/identity_providers"),
        api.all("/access/groups"),
        *(_objects(api, kind, hostname, state) for kind in _COLLECTIONS),
        api.all(f"/zones/{zone['id']}/dns_records", **{"name.exact": hostname}),
    )
    organization, providers, groups, *collections, records = reads
    if organization is None:
        raise NoTeam(
            "This account has no Zero Trust team yet. Open https://one.dash.cloudflare.com once, choose a "
            "team name (the free plan will do), and run this again."
        )
    found = Found(
        hostname=hostname,
        account_id=api.account_id,
        zone_id=str(zone["id"]),
        zone=str(zone["name"]),
        team=str(organization["auth_domain"]).removesuffix(_DOMAIN),
        identity_providers=tuple(providers),
        groups=tuple(groups),
        objects={
            **{kind: tuple(values) for kind, values in zip(_COLLECTIONS, collections, strict=True)},
            "dns-record": tuple(records),
        },
    )
    found = await _settled(api, found, state)
    for tunnel in found.ours("tunnel"):
        if configuration := await read_one(api, found, "configuration", tunnel["id"]):
            found = found.with_object("configuration", configuration)
    return await firewall(api, found)


async def read_one(api: Cloudflare, found: Found, kind: Kind, id: str) -> Wire | None:
    """The object as it is now, whatever lists say; None where there is none."""
    if kind == "waf-rule":
        rules = (await firewall(api, found)).all("waf-rule")
        return next((rule for rule in rules if rule["id"] == id), None)
    value: Mapping[str, Any] | None = await api.get(place(found, kind, id))
    if value is None or value.get("deleted_at"):
        return None
    if kind == "configuration":
        return {**value, "id": id, "name": tunnel_name(found.hostname)} if value.get("config") else None
    return value


async def find(api: Cloudflare, found: Found, kind: Kind, name: str) -> Wire | None:
    """The object of ours that lists show under this name, if they do."""
    if kind == "waf-rule":
        return (await firewall(api, found)).one(kind, name)
    query = {"name.exact": name} if kind == "dns-record" else _query(kind, found.hostname)
    listed = await api.all(place(found, kind), **query)
    return replace(found, objects={**found.objects, kind: tuple(listed)}).one(kind, name)


async def connections(api: Cloudflare, found: Found) -> tuple[Wire, ...]:
    """Of our tunnel, as Cloudflare sees them now."""
    lists = [
        await api.all(f"{place(found, 'tunnel', one['id'])}/connections") for one in found.ours("tunnel")
    ]
    return tuple(one for listed in lists for one in listed)


async def _zone(api: Cloudflare, hostname: str) -> Mapping[str, Any]:
    """The zone of the longest name that the hostname ends in."""
    labels = hostname.split(".")
    names = [".".join(labels[start:]) for start in range(len(labels) - 1)]
    for name in names:
        for zone in await api.all("/zones", name=name):
            if not api.account_id or zone["account"]["id"] == api.account_id:
                return zone
    raise NoZone(
        f"The API token sees no domain for {hostname} ({', '.join(names)}). Add the domain to Cloudflare, or "
        "let the token's zone resources include it (Zone → Zone: Read)."
    )


def _query(kind: Kind, hostname: str) -> dict[str, str]:
    # Deleted tunnels are listed too, unless they are not asked for.
    return {"name": tunnel_name(hostname), "is_deleted": "false"} if kind == "tunnel" else {}


async def _objects(api: Cloudflare, kind: Kind, hostname: str, state: State | None) -> list[Wire]:
    try:
        return list(await api.all(_COLLECTIONS[kind], **_query(kind, hostname)))
    except PermissionMissing:
        if kind == "service-token" and not (state and state.known(kind)):
            return []  # who has none needs no permission for them
        raise


async def _settled(api: Cloudflare, found: Found, state: State | None) -> Found:
    """Ours as each of them says of itself: a list may show what was, and not show what is."""
    asked: list[tuple[Kind, str]] = []
    kinds: tuple[Kind, ...] = (*_COLLECTIONS, "dns-record")
    for kind in kinds:
        ids = [str(value["id"]) for value in found.ours(kind)]
        known = state.known(kind) if state else ()
        asked += [(kind, id) for id in dict.fromkeys([*ids, *known])]
    answers = await _together(*(read_one(api, found, kind, id) for kind, id in asked))
    for (kind, id), value in zip(asked, answers, strict=True):
        found = found.without_object(kind, id) if value is None else found.with_object(kind, value)
    return found


async def firewall(api: Cloudflare, found: Found) -> Found:
    """The same, with the zone's custom rules as they are now."""
    try:
        ruleset = await api.get(f"/zones/{found.zone_id}/{FIREWALL}")
    except PermissionMissing:
        return replace(found, may_read_waf=False)
    rules = tuple((ruleset or {}).get("rules") or ())
    changed = replace(found, ruleset_id=str((ruleset or {}).get("id", "")))
    return replace(changed, objects={**found.objects, "waf-rule": rules})


async def _together(*reads: Awaitable[Any]) -> list[Any]:
    """All at once; the permissions that are missing are named in one go."""
    answers = await asyncio.gather(*reads, return_exceptions=True)
    refusals = [answer for answer in answers if isinstance(answer, PermissionMissing)]
    if refusals:
        raise PermissionMissing(*dict.fromkeys(name for one in refusals for name in one.permissions))
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return list(answers)

"""Zones, their DNS records, and the custom rules of their firewall."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from app.simulator.api.account import Account, Zone
from app.simulator.api.asked import Asked
from app.simulator.api.collection import Wire
from app.simulator.api.envelope import Refused, filtered, page, required, succeeded

FIREWALL_PHASE = "http_request_firewall_custom"
_ALIASES = {"A", "AAAA", "CNAME"}
_AUTOMATIC = 1


def zones(asked: Asked) -> Response:
    shown = [_zone(asked.account, zone) for zone in asked.account.zones.values()]
    visible = [zone for zone in shown if zone["id"] not in asked.token.hidden]
    of_account = {"account.id": lambda found, text: found["account"]["id"] == text}
    return page(filtered(visible, asked.query, "name", "status", **of_account), asked.query, 50)


def records(asked: Asked) -> Response:
    zone = _of(asked)
    if asked.method == "GET":
        by_name = {name: lambda found, text: found["name"] == text.lower() for name in ("name", "name.exact")}
        by_content = {
            name: lambda found, text: found["content"] == text for name in ("content", "content.exact")
        }
        special = {**by_name, **by_content}
        return page(filtered(asked.listed(zone.records), asked.query, "type", **special), asked.query, 5000)
    stamp = asked.account.timestamp()
    record = _checked(zone, asked.body) | {
        "id": asked.account.new_id(),
        "created_on": stamp,
        "modified_on": stamp,
    }
    _refuse_collision(zone, record)
    return succeeded(zone.records.put(record))


def record(asked: Asked) -> Response:
    zone = _of(asked)
    found = asked.found(zone.records, "record_id", (404, 81044, "Record does not exist."))
    if asked.method == "GET":
        return succeeded(found)
    if asked.method == "DELETE":
        zone.records.remove(found["id"])
        return succeeded({"id": found["id"]})
    before = found if asked.method == "PATCH" else {}
    same = {"id": found["id"], "created_on": found["created_on"], "modified_on": asked.account.timestamp()}
    changed = _checked(zone, {**before, **required(asked.body)}) | same
    _refuse_collision(zone, changed)
    return succeeded(zone.records.put(changed))


def firewall(asked: Asked) -> Response:
    """GET, and PUT of all rules at once, of the zone's entry point ruleset."""
    zone = _of(asked)
    if asked.method == "PUT":
        zone.firewall = _ruleset(asked.account, zone.firewall, required(asked.body, "rules")["rules"])
    if zone.firewall is None:
        message = f'could not find entrypoint ruleset in the "{FIREWALL_PHASE}" phase'
        raise Refused(404, 10003, message)
    return succeeded(zone.firewall)


def firewall_rules(asked: Asked) -> Response:
    """POST: one more rule at the end."""
    zone = _of(asked)
    ruleset = _firewall(zone, asked.ids["ruleset_id"])
    body = required(asked.body, "action", "expression")
    position = body.pop("position", {})
    rule = _rule(asked.account, body)
    rules = [rule, *ruleset["rules"]] if position.get("before") == "" else [*ruleset["rules"], rule]
    zone.firewall = _ruleset(asked.account, ruleset, rules)
    return succeeded(zone.firewall)


def firewall_rule(asked: Asked) -> Response:
    zone = _of(asked)
    ruleset = _firewall(zone, asked.ids["ruleset_id"])
    rules = ruleset["rules"]
    place = next((n for n, rule in enumerate(rules) if rule["id"] == asked.ids["rule_id"]), None)
    if place is None:
        raise Refused(404, 10004, "could not find rule")
    if asked.method == "DELETE":
        rules.pop(place)
    else:
        rules[place] = _rule(asked.account, {**required(asked.body), "id": rules[place]["id"]})
    zone.firewall = _ruleset(asked.account, ruleset, rules)
    return succeeded(zone.firewall)


def _of(asked: Asked) -> Zone:
    for zone in asked.account.zones.values():
        if zone.id == asked.ids["zone_id"] and zone.id not in asked.token.hidden:
            return zone
    raise Refused(404, 7003, "Could not route to /zones, perhaps your object identifier is invalid?")


def _zone(account: Account, zone: Zone) -> Wire:
    owner = {"id": account.id, "name": account.name}
    return {"id": zone.id, "name": zone.name, "status": "active", "paused": False, "account": owner}


def _checked(zone: Zone, body: Any) -> Wire:
    given = required(body, "type", "name", "content")
    name = str(given["name"]).lower()
    if name != zone.name and not name.endswith(f".{zone.name}"):
        name = f"{name}.{zone.name}"
    blank: Wire = {
        "proxied": False,
        "ttl": _AUTOMATIC,
        "comment": None,
        "tags": [],
        "settings": {},
        "meta": {},
    }
    return {**blank, **given, "name": name, "proxiable": given["type"] in _ALIASES}


def _refuse_collision(zone: Zone, record: Wire) -> None:
    """A CNAME stands alone, and nothing stands beside it (RFC 1034 §3.6.2)."""
    for other in zone.records.all():
        if other["id"] == record["id"] or other["name"] != record["name"]:
            continue
        if (other["type"], other["content"]) == (record["type"], record["content"]):
            raise Refused(400, 81058, "An identical record already exists.")
        if "CNAME" in (other["type"], record["type"]):
            message = "An A, AAAA, or CNAME record with that host already exists."
            raise Refused(400, 81053, message)


def _firewall(zone: Zone, ruleset_id: str) -> Wire:
    if zone.firewall is None or zone.firewall["id"] != ruleset_id:
        raise Refused(404, 10002, "could not find ruleset")
    return zone.firewall


def _ruleset(account: Account, before: Wire | None, rules: list[Wire]) -> Wire:
    return {
        "id": before["id"] if before else account.new_id(),
        "name": "default",
        "kind": "zone",
        "phase": FIREWALL_PHASE,
        "version": str(int(before["version"]) + 1) if before else "1",
        "last_updated": account.timestamp(),
        "rules": [rule if "version" in rule else _rule(account, rule) for rule in rules],
    }


def _rule(account: Account, body: Wire) -> Wire:
    id = body.get("id") or account.new_id()
    made = {"enabled": True, "ref": id, "last_updated": account.timestamp(), "version": "1"}
    return {**made, **body, "id": id}

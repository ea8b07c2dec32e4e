"""Access applications over the API. PUT replaces everything but `id`, `aud` and `created_at`."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.responses import Response

from app.simulator.api.account import Account
from app.simulator.api.asked import Asked
from app.simulator.api.collection import Wire
from app.simulator.api.envelope import Refused, filtered, page, required, succeeded

MOST_CHARACTERS = 63  # of domain and path
MOST_DOMAINS = 5
DEFAULTS: Wire = {
    "session_duration": "24h",
    "app_launcher_visible": True,
    "allowed_idps": [],
    "auto_redirect_to_identity": False,
    "enable_binding_cookie": False,
    "http_only_cookie_attribute": True,
    "options_preflight_bypass": False,
    "tags": [],
    "policies": [],
}


def applications(asked: Asked) -> Response:
    kept = asked.account.apps
    if asked.method == "GET":
        shown = [_shown(asked.account, application) for application in asked.listed(kept)]
        exact = asked.query.get("exact") == "true"
        fits = {
            "name": lambda found, text: found["name"] == text if exact else text in found["name"],
            "domain": lambda found, text: text in _places(found) if exact else text in found["domain"],
        }
        return page(filtered(shown, asked.query, "aud", **fits), asked.query)
    application = _checked(asked.account, asked.body) | {
        "id": asked.account.new_uuid(),
        "aud": secrets.token_hex(32),
        "created_at": asked.account.timestamp(),
    }
    return succeeded(_shown(asked.account, kept.put(application)), status=201)


def application(asked: Asked) -> Response:
    kept = asked.account.apps
    found = asked.found(kept, "app_id", (404, 11021, "access.api.error.not_found"))
    if asked.method == "GET":
        return succeeded(_shown(asked.account, found))
    if asked.method == "PUT":
        same = {name: found[name] for name in ("id", "aud", "created_at")}
        changed = kept.put(_checked(asked.account, asked.body, found["id"]) | same)
        return succeeded(_shown(asked.account, changed))
    kept.remove(found["id"])
    return succeeded({"id": found["id"]}, status=202)


def revoke_tokens(asked: Asked) -> Response:
    asked.found(asked.account.apps, "app_id", (404, 11021, "access.api.error.not_found"))
    return succeeded({})


def _checked(account: Account, body: Any, id: str = "") -> Wire:
    given = required(body, "type", "domain")
    destinations = given.get("destinations") or [{"type": "public", "uri": given["domain"]}]
    value = {
        "name": given["domain"],
        **DEFAULTS,
        **{name: given[name] for name in given if name not in ("id", "aud", "created_at", "updated_at")},
        "destinations": destinations,
        "updated_at": account.timestamp(),
    }
    value["policies"] = [_link(account, link, nth) for nth, link in enumerate(value["policies"] or [], 1)]
    places = _places(value)
    if len(places) > MOST_DOMAINS:
        raise Refused(400, 12130, "access.api.error.invalid_request: too many domains")
    if any(len(place) > MOST_CHARACTERS for place in places):
        raise Refused(400, 12130, "access.api.error.invalid_request: domain is too long")
    cors, preflight = given.get("cors_headers"), given.get("options_preflight_bypass")
    if cors and preflight:
        raise Refused(400, 12130, "access.api.error.invalid_request: options_preflight_bypass with cors")
    for other in account.apps.all():
        if other["id"] != id and places & _places(other):
            raise Refused(409, 11010, "access.api.error.application_already_exists")
    return value


def _link(account: Account, link: Any, nth: int) -> Wire:
    if not isinstance(link, dict) or account.policies.get(link.get("id", "")) is None:
        raise Refused(400, 12130, "access.api.error.invalid_request: no such policy")
    return {"id": link["id"], "precedence": link.get("precedence", nth)}


def _places(application: Wire) -> set[str]:
    uris = {place["uri"] for place in application["destinations"] if place.get("type") == "public"}
    return uris | {application["domain"]}


def _shown(account: Account, application: Wire) -> Wire:
    """As it is shown: its policies whole, in their order, and the older form of its places."""
    links = sorted(application["policies"], key=lambda link: int(link["precedence"]))
    whole = [{**(account.policies.get(link["id"]) or {}), "precedence": link["precedence"]} for link in links]
    return {**application, "policies": whole, "self_hosted_domains": sorted(_places(application))}

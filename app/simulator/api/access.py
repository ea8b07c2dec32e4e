"""Zero Trust → Access over the API: organization, identity providers, groups, policies, service tokens."""

from __future__ import annotations

import secrets
from typing import Any

from starlette.responses import Response

from app.simulator.api.account import Account, instant, seconds
from app.simulator.api.asked import Asked
from app.simulator.api.collection import Collection, Wire
from app.simulator.api.envelope import Refused, filtered, page, required, succeeded

YEAR_HOURS = 8760
FOREVER_YEARS = 100
DECISIONS = ("allow", "deny", "non_identity", "bypass")
MOST_SERVICE_TOKENS = 50
MOST_POLICIES = 500


def organization(asked: Asked) -> Response:
    if asked.account.organization is None:
        raise Refused(404, 9999, "access.api.error.not_enabled: access is not enabled")
    return succeeded(asked.account.organization)


def identity_providers(asked: Asked) -> Response:
    return page(asked.listed(asked.account.identity_providers), asked.query)


def groups(asked: Asked) -> Response:
    if asked.method == "GET":
        return page(filtered(asked.listed(asked.account.groups), asked.query, "name"), asked.query)
    body = required(asked.body, "name", "include")
    return succeeded(asked.account.groups.put(_named(asked.account, body)), status=201)


def policies(asked: Asked) -> Response:
    """No filter by name (unlike the others), so one has to page."""
    kept = asked.account.policies
    if asked.method == "GET":
        return page([_policy(asked.account, policy) for policy in asked.listed(kept)], asked.query)
    if len(kept.all()) >= MOST_POLICIES:
        raise Refused(400, 12130, "access.api.error.invalid_request: too many reusable policies")
    return succeeded(kept.put(_checked(asked.account, asked.body, {})), status=201)


def policy(asked: Asked) -> Response:
    kept = asked.account.policies
    found = asked.found(kept, "policy_id", _NOT_FOUND)
    if asked.method == "GET":
        return succeeded(_policy(asked.account, found))
    if asked.method == "PUT":
        kept.put(_checked(asked.account, asked.body, found))
        return succeeded(_policy(asked.account, kept.get(found["id"]) or {}))
    if _policy(asked.account, found)["app_count"]:
        raise Refused(409, 12132, "access.api.error.policy_in_use: detach the policy from its applications")
    kept.remove(found["id"])
    return succeeded({"id": found["id"]}, status=202)


def service_tokens(asked: Asked) -> Response:
    kept = asked.account.service_tokens
    if asked.method == "GET":
        return page(filtered(asked.listed(kept), asked.query, "name"), asked.query)
    body = required(asked.body, "name")
    if len(kept.all()) >= MOST_SERVICE_TOKENS:
        raise Refused(400, 12130, "access.api.error.invalid_request: too many service tokens")
    duration = body.get("duration", f"{YEAR_HOURS}h")
    token = _named(asked.account, {"name": body["name"], "duration": duration}) | {
        "client_id": f"{secrets.token_hex(16)}.access",
        "expires_at": instant(_expiry(asked.account.now(), duration)),
        "enabled": True,
        "client_secret_version": 1,
        "previous_client_secret_expires_at": None,
    }
    kept.put(token)
    return succeeded(token | {"client_secret": _new_secret(asked.account, token["id"], None)}, status=201)


def service_token(asked: Asked) -> Response:
    kept = asked.account.service_tokens
    found = asked.found(kept, "token_id", _NOT_FOUND)
    if asked.method == "GET":
        return succeeded(found)
    if asked.method == "PUT":
        changed = {name: asked.body[name] for name in ("name", "duration") if name in required(asked.body)}
        return succeeded(kept.put(found | changed | {"updated_at": asked.account.timestamp()}))
    users = [p for p in asked.account.policies.all() if found["id"] in _token_ids(p)]
    if users:
        raise Refused(409, 12132, "access.api.error.service_token_in_use: a policy names the service token")
    kept.remove(found["id"])
    return succeeded(found)


def rotate(asked: Asked) -> Response:
    """A new secret. The old one ends now, or at `previous_client_secret_expires_at`."""
    kept = asked.account.service_tokens
    found = asked.found(kept, "token_id", _NOT_FOUND)
    until = (asked.body or {}).get("previous_client_secret_expires_at")
    secret = _new_secret(asked.account, found["id"], seconds(until) if until else None)
    version = {
        "client_secret_version": found["client_secret_version"] + 1,
        "previous_client_secret_expires_at": until,
        "updated_at": asked.account.timestamp(),
    }
    return succeeded(kept.put(found | version) | {"client_secret": secret})


def refresh(asked: Asked) -> Response:
    """Another full duration from now."""
    kept = asked.account.service_tokens
    found = asked.found(kept, "token_id", _NOT_FOUND)
    return succeeded(
        kept.put(found | {"expires_at": instant(_expiry(asked.account.now(), found["duration"]))})
    )


_NOT_FOUND = (404, 11021, "access.api.error.not_found")


def _named(account: Account, body: Wire) -> Wire:
    stamp = account.timestamp()
    return {**body, "id": account.new_uuid(), "created_at": stamp, "updated_at": stamp}


def _checked(account: Account, body: Any, before: Wire) -> Wire:
    """A policy after POST or PUT, which replaces everything."""
    given = required(body, "name", "decision", "include")
    if given["decision"] not in DECISIONS:
        raise Refused(400, 12130, "access.api.error.invalid_request: decision")
    identities = [rule for rule in given["include"] if "email" in rule or "email_domain" in rule]
    if given["decision"] == "bypass" and identities:
        raise Refused(400, 12130, "access.api.error.invalid_request: bypass cannot use identity selectors")
    for rule in given["include"]:
        _known(account.groups, rule.get("group", {}).get("id"))
        _known(account.service_tokens, rule.get("service_token", {}).get("token_id"))
    fields = {"exclude": [], "require": [], "session_duration": "24h", **given, "reusable": True}
    kept = _named(account, fields)
    if before:
        kept |= {"id": before["id"], "created_at": before["created_at"]}
    return kept


def _known(collection: Collection, id: str | None) -> None:
    if id is not None and collection.get(id) is None:
        raise Refused(400, 12130, f"access.api.error.invalid_request: {id} does not exist")


def _policy(account: Account, policy: Wire) -> Wire:
    """As it is shown: with the number of applications that use it."""
    users = [
        application
        for application in account.apps.all()
        if any(link["id"] == policy["id"] for link in application["policies"])
    ]
    return {**policy, "app_count": len(users)}


def _token_ids(policy: Wire) -> set[str]:
    return {rule["service_token"]["token_id"] for rule in policy["include"] if "service_token" in rule}


def _new_secret(account: Account, token_id: str, previous_ends_at: float | None) -> str:
    secret = f"cfast_{secrets.token_hex(24)}"
    account.keep_secret(token_id, secret, previous_ends_at)
    return secret


def _expiry(now: float, duration: str) -> float:
    hours = FOREVER_YEARS * YEAR_HOURS if duration == "forever" else int(duration.removesuffix("h"))
    return now + hours * 3600

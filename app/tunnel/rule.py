"""What is wrong with one rule for a host, or with the `access` on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import re2

from app.tunnel import keys
from app.tunnel.config import SIGNED_IN, Exposure, access
from app.tunnel.finding import WRITE_PATTERN, Finding, Found, as_yaml, unknown

STATUS = "http_status:"


def rule(checked: Mapping[Any, Any], where: str, exposure: Exposure, lan_port: int) -> Found:
    """Of a rule that is not the last one. `lan_port`: of the LAN door, where no rule may lead."""
    yield from unknown(checked, keys.RULE, where)
    host, service = checked.get("hostname") or "", checked.get("service")
    yield from _hostname(host, f"{where}.hostname", exposure.hostname)
    yield from _service(service, f"{where}.service", exposure.door, lan_port)
    if not matches_host(host, exposure.hostname):
        return  # what protects another host is not ours to say
    guard = guard_of(checked)
    if guard is not None:
        yield from _access(guard, f"{where}.originRequest.access", exposure)
    elif exposure.topology == "access" and not str(service).startswith(STATUS):
        yield Finding(
            "access-missing",
            where,
            "The rule has no `originRequest.access`, so cloudflared lets pass whatever reaches it.",
            f"Add `originRequest: {{access: {as_yaml(access(exposure))}}}`.",
        )
    if checked.get("path"):
        yield from _path(str(checked["path"]), f"{where}.path", exposure, guards=guard is not None)


def guard_of(checked: Mapping[Any, Any]) -> object:
    """What a rule has as `access`."""
    request = checked.get("originRequest")
    return request.get("access") if isinstance(request, Mapping) else None


def matches_host(of_rule: object, host: str) -> bool:
    """As cloudflared does it (ingress.go, matchHost): to the letter."""
    name = str(of_rule)
    return name in ("", "*", host) or (name.startswith("*.") and host.endswith(name[1:]))


def _hostname(host: object, where: str, ours: str) -> Found:
    fix = f"Write `hostname: {ours}`."
    if host in ("", "*"):
        sentence = "The rule is for every name that is routed to this tunnel, and it is not the last one."
        yield Finding("hostname-missing", where, sentence, fix)
    elif "*" in str(host):
        sentence = f"{host} is many names, and each that no Access application covers is open."
        yield Finding("hostname-wildcard", where, sentence, fix)
    elif host != ours:
        sentence = f"{host} is not the host of BASE_URL ({ours}), to the letter."
        yield Finding("hostname-foreign", where, sentence, f"{fix[:-1]}, or give {host} its own tunnel.")


def _service(service: object, where: str, door: str, lan_port: int) -> Found:
    fix = f"Write `service: {door}`."
    if not isinstance(service, str) or not service:
        yield Finding("service-missing", where, "The rule leads nowhere.", fix)
    elif service == door or service.startswith(STATUS):
        return
    elif service.rstrip("/") == door:
        yield Finding("service-path", where, "A service has no path, not even a slash.", fix)
    elif service.startswith(("unix:", "unix+tls:")):
        yield Finding("service-elsewhere", where, f"{service} is not the tunnel door.", fix)
    else:
        yield from _url(service, where, lan_port, fix)


def _url(service: str, where: str, lan_port: int, fix: str) -> Found:
    try:
        url = urlsplit(service)
        port = url.port or {"http": 80, "ws": 80}.get(url.scheme, 443)
    except ValueError:
        url, port = urlsplit(""), 0
    if url.scheme not in ("http", "https", "ws", "wss"):
        sentence = f"{service} is no web server: it opens something else of this machine."
        yield Finding("service-kind", where, sentence, fix)
    elif port == lan_port:
        sentence = f"{service} is the LAN door, which asks nobody for a login."
        yield Finding("service-lan", where, sentence, fix)
    else:
        sentence = f"{service} is not the tunnel door, and that alone knows who is there."
        yield Finding("service-elsewhere", where, sentence, fix)


def _path(path: str, where: str, exposure: Exposure, *, guards: bool) -> Found:
    if exposure.topology == "access":
        yield Finding(
            "path-in-rule",
            where,
            "A path leaves the rest of the host to other rules, and it is matched as it was sent: "
            "/x/../mcp is not /mcp here.",
            "Remove the path: one rule for the whole host.",
        )
        return
    try:
        pattern = re2.compile(path)
    except re2.error:
        yield Finding("path-broken", where, f"{path} is no regular expression.", WRITE_PATTERN)
        return
    loose = [page for page in SIGNED_IN[1:] if pattern.search(page) and pattern.search(f"/x{page}")]
    if guards and loose and not pattern.search("/x"):
        sentence = f"The pattern is not anchored: it matches /x{loose[0]} as well as {loose[0]}."
        yield Finding("path-unanchored", where, sentence, WRITE_PATTERN)


def _access(guard: object, where: str, exposure: Exposure) -> Found:
    wanted = access(exposure)
    if not isinstance(guard, Mapping):
        yield Finding("wrong-type", where, "`access` has keys.", f"Write `access: {as_yaml(wanted)}`.")
        return
    yield from unknown(guard, keys.ACCESS, where)
    if guard.get("required") is not True:
        sentence = "Without `required: true` cloudflared checks nothing."
        yield Finding("access-not-required", f"{where}.required", sentence, "Write `required: true`.")
    for key in ("teamName", "environment"):
        told = guard.get(key) or ""
        if told != wanted.get(key, ""):
            sentence = f"{told or 'Nothing'} is not the team of CF_ACCESS_TEAM ({exposure.team})."
            fix = f"Write `{key}: {wanted[key]}`." if key in wanted else f"Remove `{key}`."
            yield Finding("access-team", f"{where}.{key}", sentence, fix)
    yield from _auds(guard.get("audTag"), f"{where}.audTag", exposure.auds)


def _auds(told: object, where: str, ours: tuple[str, ...]) -> Found:
    fix = f"Write `audTag: {as_yaml(list(ours))}`."
    if not isinstance(told, list) or not told:
        sentence = "Without an AUD tag cloudflared refuses everybody: 403."
        yield Finding("access-aud-empty", where, sentence, fix)
        return
    for tag in told:
        if tag not in ours:
            sentence = f"{str(tag)[:80]} is the AUD tag of no application of this host (CF_ACCESS_AUD)."
            yield Finding("access-aud-foreign", where, sentence, fix)
    for tag in ours:
        if tag not in told:
            sentence = f"{tag} is missing: whoever comes by that application is refused."
            yield Finding("access-aud-missing", where, sentence, fix)

"""What is wrong with a configuration of cloudflared, its own `ingress validate` notwithstanding.

Pure: the parsed YAML of a file, or the JSON that the API keeps with a tunnel, comes in; findings go out.
Each is a way to lock people out or to let them in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import re2

from app.tunnel import keys
from app.tunnel.config import NOTHING_HERE, PROGRAMS, SIGNED_IN, Exposure
from app.tunnel.finding import WRITE_PATTERN, Finding, Found, unknown
from app.tunnel.origin_request import origin_request
from app.tunnel.process import process
from app.tunnel.rule import guard_of, matches_host, rule


def lint(config: object, exposure: Exposure, *, lan_port: int, remote: bool = False) -> tuple[Finding, ...]:
    """Everything that is wrong with `config`; nothing, if it exposes just this and as it should.

    `lan_port`: of the LAN door. `remote`: not a file but what the API keeps, in its envelope or without.
    """
    if remote:
        config = _unwrapped(config)
    if not isinstance(config, Mapping):
        return (Finding("no-configuration", "", "This is no mapping of keys.", "Begin with `ingress:`."),)
    return tuple(_whole(config, exposure, lan_port, remote))


def _unwrapped(answer: object) -> object:
    for name in ("result", "config"):
        if isinstance(answer, Mapping) and name in answer:
            answer = answer[name]
    return answer


def _whole(config: Mapping[Any, Any], exposure: Exposure, lan_port: int, remote: bool) -> Found:
    yield from unknown(config, keys.REMOTE if remote else keys.FILE, "")
    yield from process(config)
    request = config.get("originRequest")
    yield from origin_request(request, "originRequest", exposure.hostname, remote=remote)
    if isinstance(request, Mapping) and "access" in request:
        sentence = "At the top level `access` is ignored, without a word: only a rule's own counts."
        yield Finding("access-at-top", "originRequest.access", sentence, "Move it into each rule.")
    rules = config.get("ingress")
    if not isinstance(rules, list) or not rules:
        sentence = "There are no rules: cloudflared answers 503 to everything."
        fix = "Write `ingress:`, a rule for the host and a catch-all."
        yield Finding("no-ingress", "ingress", sentence, fix)
        return
    readable: list[Mapping[Any, Any]] = []
    for index, one in enumerate(rules):
        where = f"ingress[{index}]"
        if not isinstance(one, Mapping):
            yield Finding("wrong-type", where, "A rule has keys.", "Write `- hostname: …`.")
            return
        readable.append(one)
        request = one.get("originRequest")
        yield from origin_request(request, f"{where}.originRequest", exposure.hostname, remote=remote)
        if index < len(rules) - 1:
            yield from rule(one, where, exposure, lan_port)
        else:
            yield from _catch_all(one, where)
    yield from _coverage(readable, exposure)


def _catch_all(last: Mapping[Any, Any], where: str) -> Found:
    yield from unknown(last, keys.RULE, where)
    if last.get("path") or last.get("hostname") not in (None, "", "*"):
        sentence = "The last rule must be for all that is left; cloudflared does not start otherwise."
        yield Finding("catch-all-missing", where, sentence, f"Add `- service: {NOTHING_HERE}` at the end.")
    elif last.get("service") != NOTHING_HERE:
        sentence = f"Every name that is routed to this tunnel leads to {last.get('service')}."
        yield Finding("catch-all-open", f"{where}.service", sentence, f"Write `service: {NOTHING_HERE}`.")


def _coverage(rules: Sequence[Mapping[Any, Any]], exposure: Exposure) -> Found:
    """What the first rule that matches makes of our host and, with the inner server, of each path."""
    host = exposure.hostname
    if not any(matches_host(one.get("hostname") or "", host) for one in rules[:-1]):
        sentence = f"No rule is for {host}: it answers 404 to everything."
        yield Finding("hostname-absent", "ingress", sentence, f"Add a rule with `hostname: {host}`.")
        return
    if exposure.topology == "access":
        return
    for index, one in enumerate(rules):
        where, comes_here = f"ingress[{index}]", partial(_comes_to, index, rules, host)
        pages, programs = filter(comes_here, SIGNED_IN), filter(comes_here, PROGRAMS)
        if _guards(one):
            yield from _shut_out(", ".join(programs), where)
        else:
            yield from _open(", ".join(pages), where)


def _open(pages: str, where: str) -> Found:
    if pages:
        sentence = f"This rule asks nobody for a login, and is for what people see: {pages}."
        yield Finding("page-open", where, sentence, WRITE_PATTERN)


def _shut_out(programs: str, where: str) -> Found:
    if programs:
        sentence = f"Programs bring no assertion of Access, so none gets past this rule: {programs}."
        yield Finding("program-shut-out", where, sentence, WRITE_PATTERN)


def _comes_to(index: int, rules: Sequence[Mapping[Any, Any]], host: str, path: str) -> bool:
    return _first(rules, host, path) == index


def _first(rules: Sequence[Mapping[Any, Any]], host: str, path: str) -> int:
    """The rule that a request is for; the last one is for all that no other matches."""
    for index, one in enumerate(rules[:-1]):
        if matches_host(one.get("hostname") or "", host) and _matches_path(one.get("path") or "", path):
            return index
    return len(rules) - 1


def _matches_path(pattern: object, path: str) -> bool:
    try:
        return re2.search(str(pattern), path) is not None
    except re2.error:
        return False


def _guards(one: Mapping[Any, Any]) -> bool:
    guard = guard_of(one)
    return isinstance(guard, Mapping) and guard.get("required") is True

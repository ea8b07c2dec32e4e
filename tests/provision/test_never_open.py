"""From the first step to the last, and from one topology to the other, there is no way past Access."""

from __future__ import annotations

import re
from typing import Any

from app.provision import apply as provision
from app.provision.plan import Step
from app.provision.wanted import Intent
from app.simulator.api import Account

from .desk import HOST, POLICY, Desk, intended

PEOPLE = ("/", "/authorize", "/consent", "/healthz")
PROGRAMS = ("/mcp", "/mcp/", "/token", "/register", "/.well-known/oauth-protected-resource/mcp")


def open_paths(account: Account) -> list[str]:
    """What a stranger's request would reach the tunnel door on."""
    tunnel = account.tunnel_of(HOST)
    configuration = account.configuration_of(tunnel) if tunnel else None
    if configuration is None:
        return []
    rules = configuration[1]["ingress"]
    return [path for path in (*PEOPLE, *PROGRAMS) if _passes_edge(account, path) and _passes(rules, path)]


def _passes_edge(account: Account, path: str) -> bool:
    """The most specific application decides; without one nobody is asked."""
    best: tuple[int, dict[str, Any]] | None = None
    for app in account.apps.all():
        for place in (one["uri"] for one in app["destinations"]):
            host, _, below = place.partition("/")
            pattern = re.escape(f"/{below}".rstrip("*").rstrip("/")) + (
                "/.+" if below.endswith("*") else "(/.*)?"
            )
            fits = host == HOST and re.fullmatch(pattern, path if path != "/" else "/")
            if fits and (best is None or len(place) > best[0]):
                best = len(place), app
    if best is None:
        return True
    return any(policy["decision"] == "bypass" for policy in account.policies_of(best[1]["id"]))


def _passes(rules: list[dict[str, Any]], path: str) -> bool:
    """Whether cloudflared's first matching rule sends it on without an assertion."""
    rule = next(rule for rule in rules if re.search(rule.get("path", ""), path))
    access = rule.get("originRequest", {}).get("access", {})
    return str(rule["service"]).startswith("http://") and not access.get("required")


async def _watched(desk: Desk, intent: Intent | None) -> list[list[str]]:
    """What is open before each step, and at the end. None: everything is taken down."""
    seen: list[list[str]] = []

    def look(_: Step) -> None:
        seen.append(open_paths(desk.account))

    async with desk.api() as api:
        if intent is None:
            await provision.down(api, desk.files, look)
        else:
            await provision.apply(api, desk.files, intent, look)
    return [*seen, open_paths(desk.account)]


async def test_in_topology_access_nothing_is_ever_open(desk: Desk) -> None:
    fewer = intended(POLICY.partition('[[rule]]\nname = "contractors"')[0])
    for intent in (intended(), fewer, intended(), None):
        for opened in await _watched(desk, intent):
            assert opened == []


async def test_in_topology_oauth_only_the_paths_of_programs_are_ever_open(desk: Desk) -> None:
    *meanwhile, end = await _watched(desk, intended(topology="oauth"))
    assert all(opened in ([], list(PROGRAMS)) for opened in meanwhile)
    assert end == list(PROGRAMS)
    assert all(opened in ([], list(PROGRAMS)) for opened in await _watched(desk, None))


async def test_from_one_topology_to_the_other_what_people_see_stays_closed(desk: Desk) -> None:
    access, oauth = intended(), intended(topology="oauth")
    for intent in (access, oauth, access, oauth):
        for opened in await _watched(desk, intent):
            assert not set(opened) & set(PEOPLE)
    assert open_paths(desk.account) == list(PROGRAMS)
    await _watched(desk, access)
    assert open_paths(desk.account) == []


async def test_the_watcher_sees_what_is_open(desk: Desk) -> None:
    await desk.apply()
    [tunnel] = desk.account.tunnels.all()
    desk.account.configurations[tunnel["id"]]["config"]["ingress"][0]["originRequest"] = {}
    assert open_paths(desk.account) == []  # Access still asks
    desk.account.apps.remove(desk.account.apps.all()[0]["id"])
    assert open_paths(desk.account) == [*PEOPLE, *PROGRAMS]

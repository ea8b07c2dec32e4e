"""What is changed by hand at Cloudflare, `drift` names and `apply` puts back; what is foreign stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from app.provision import service_tokens
from app.provision.apply import InTheWay, NotApplied
from app.simulator.api import Account

from .desk import HOST, Desk, holdings, intended

Change = Callable[[Account], object]


def _app(**fields: Any) -> Change:
    return lambda account: account.apps.put({**account.apps.all()[0], **fields})


def _policy(**fields: Any) -> Change:
    return lambda account: account.policies.put({**account.policies.all()[0], **fields})


def _record(**fields: Any) -> Change:
    def change(account: Account) -> object:
        records = account.zones["example.com"].records
        return records.put({**records.all()[0], **fields})

    return change


def _ingress(rule: int, **fields: Any) -> Change:
    def change(account: Account) -> None:
        [kept] = account.configurations.values()
        kept["config"]["ingress"][rule].update(fields)

    return change


def _rule(**fields: Any) -> Change:
    def change(account: Account) -> None:
        firewall = account.zones["example.com"].firewall
        assert firewall
        firewall["rules"][0].update(fields)

    return change


def _bypass_added(account: Account) -> None:
    """Somebody lets everybody in, by a policy of their own on our application."""
    account.policies.put(
        {
            "id": "bypass",
            "name": "for testing",
            "decision": "bypass",
            "include": [{"everyone": {}}],
            "require": [],
            "exclude": [],
        }
    )
    [app] = account.apps.all()
    account.apps.put({**app, "policies": [{"id": "bypass", "precedence": 0}, *app["policies"]]})


def _gone(kind: str) -> Change:
    def change(account: Account) -> None:
        collection = getattr(account, kind)
        collection.remove(collection.all()[-1]["id"])

    return change


def _policy_gone(account: Account) -> None:
    policy, [app] = account.policies.all()[0], account.apps.all()
    left = [link for link in app["policies"] if link["id"] != policy["id"]]
    account.apps.put({**app, "policies": left})
    account.policies.remove(policy["id"])


def _record_gone(account: Account) -> None:
    records = account.zones["example.com"].records
    records.remove(records.all()[0]["id"])


def _tunnel_gone(account: Account) -> None:
    [tunnel] = account.tunnels.all()
    account.tunnels.put({**tunnel, "deleted_at": account.timestamp()})


def _rule_gone(account: Account) -> None:
    firewall = account.zones["example.com"].firewall
    assert firewall
    firewall["rules"].clear()


FAMILY = f"family [brain-mcp {HOST}]"
BRAIN = f"Brain [brain-mcp {HOST}]"
TUNNEL = f"brain-mcp-{HOST}"
COMMENT = f"brain-mcp {HOST}"
# What is done by hand; what drift says first: kind, name, and a part of the sentence.
CHANGES: dict[str, tuple[Change, tuple[str, str, str]]] = {
    "somebody let in": (
        _policy(include=[{"everyone": {}}]),
        ("policy", FAMILY, 'include is [{"everyone": {}}], not'),
    ),
    "somebody kept out": (
        _policy(exclude=[{"email": {"email": "bob@example.com"}}]),
        ("policy", FAMILY, "exclude is"),
    ),
    "decision": (_policy(decision="bypass"), ("policy", FAMILY, "decision is bypass, not allow")),
    "longer policy session": (_policy(session_duration="720h"), ("policy", FAMILY, "session_duration")),
    "policy gone": (_policy_gone, ("policy", FAMILY, "gone")),
    "policy renamed": (_policy(name="theirs"), ("policy", FAMILY, "gone")),
    "bypass added": (
        _bypass_added,
        ("application", BRAIN, "policies is for testing (bypass, bypass), family"),
    ),
    "policies detached": (_app(policies=[]), ("application", BRAIN, "policies is nothing, not family")),
    "managed oauth off": (
        _app(oauth_configuration={"enabled": False}),
        ("application", BRAIN, "oauth_configuration.enabled is false, not true"),
    ),
    "fewer redirects": (
        _app(oauth_configuration={"enabled": True, "dynamic_client_registration": {"enabled": True}}),
        ("application", BRAIN, "allow_any_on_localhost is not set, not true"),
    ),
    "another domain": (
        _app(domain="old.example.com", destinations=[]),
        ("application", BRAIN, "domain is old.example.com"),
    ),
    "preflights let through": (
        _app(options_preflight_bypass=True),
        ("application", BRAIN, "options_preflight_bypass is true, not false"),
    ),
    "binding cookie": (_app(enable_binding_cookie=True), ("application", BRAIN, "enable_binding_cookie")),
    "longer session": (_app(session_duration="720h"), ("application", BRAIN, "session_duration is 720h")),
    "302 for programs": (
        _app(service_auth_401_redirect=False),
        ("application", BRAIN, "service_auth_401_redirect"),
    ),
    "application gone": (_gone("apps"), ("application", BRAIN, "gone")),
    "application made anew": (_app(aud="0" * 64), ("configuration", TUNNEL, "access.audTag")),
    "another port": (
        _ingress(0, service="http://127.0.0.1:8084"),
        ("configuration", TUNNEL, "ingress.0.service is http://127.0.0.1:8084"),
    ),
    "no check in cloudflared": (
        _ingress(0, originRequest={}),
        ("configuration", TUNNEL, "ingress.0.originRequest.access is not set"),
    ),
    "something added to a rule": (
        _ingress(0, path="^/mcp"),
        ("configuration", TUNNEL, "ingress.0.path is ^/mcp, and should not be"),
    ),
    "tunnel gone": (_tunnel_gone, ("tunnel", TUNNEL, "gone")),
    "grey cloud": (_record(proxied=False), ("dns-record", HOST, "proxied is false, not true")),
    "another target": (
        _record(content="elsewhere.example.net"),
        ("dns-record", HOST, "content is elsewhere.example.net"),
    ),
    "comment lost": (_record(comment=None), ("dns-record", HOST, "comment is not set")),
    "record gone": (_record_gone, ("dns-record", HOST, "gone")),
    "bot rule off": (_rule(enabled=False), ("waf-rule", COMMENT, "enabled is false")),
    "bot rule for all hosts": (_rule(expression="true"), ("waf-rule", COMMENT, "expression is true")),
    "bot rule gone": (_rule_gone, ("waf-rule", COMMENT, "gone")),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_what_is_changed_by_hand_is_named_and_put_back(desk: Desk, name: str) -> None:
    change, (kind, object, what) = CHANGES[name]
    await desk.apply()
    assert await desk.drift() == []
    change(desk.account)
    found = await desk.findings()
    named = [finding for finding in found if (finding.kind, finding.name) == (kind, object)]
    assert any(what in finding.what for finding in named), found
    await desk.apply()
    assert await desk.drift() == []
    assert not (await desk.plan()).steps


async def test_an_application_that_was_made_anew_has_another_aud(desk: Desk) -> None:
    await desk.apply()
    CHANGES["application made anew"][0](desk.account)
    assert any("its AUD tag is another" in line for line in await desk.drift())


@pytest.mark.parametrize("place", [HOST, f"{HOST}/mcp", f"{HOST}/.well-known/*", "*.example.com/mcp"])
async def test_a_foreign_application_on_our_host_is_in_the_way(desk: Desk, place: str) -> None:
    await desk.apply()
    before = holdings(desk.account)
    [ours] = desk.account.apps.all()
    foreign = {"id": "theirs", "name": "Theirs", "domain": place, "destinations": [], "policies": []}
    desk.account.apps.put({**foreign, "aud": "1" * 64})
    [line] = await desk.drift()
    assert line.startswith(f"in the way: Access application 'Theirs' covers {place} and is not ours")
    with pytest.raises(InTheWay):
        await desk.apply()
    assert desk.account.apps.get(ours["id"]) == ours
    desk.account.apps.remove("theirs")
    assert holdings(desk.account) == before


async def test_foreign_applications_elsewhere_are_nobodys_business(desk: Desk) -> None:
    for number, place in enumerate(("example.com", "*.example.com", "other.example.com/mcp")):
        foreign = {"id": f"theirs-{number}", "name": "Theirs", "domain": place, "destinations": []}
        desk.account.apps.put({**foreign, "policies": [], "aud": f"{number}" * 64})
    await desk.apply()
    assert await desk.drift() == []


async def test_before_the_first_apply_there_is_nothing_to_drift(desk: Desk) -> None:
    async with desk.api() as api:
        await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
    with pytest.raises(NotApplied, match="brain tunnel plan"):
        await desk.drift()


async def test_a_service_token_that_is_gone_is_named(desk: Desk) -> None:
    async with desk.api() as api:
        await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
    await desk.apply()
    [token] = desk.account.service_tokens.all()
    desk.account.service_tokens.remove(token["id"])
    assert await desk.drift() == ["service-token nightly: gone, and its client id with it"]


async def test_a_policy_that_was_changed_here_is_drift_as_well(desk: Desk) -> None:
    await desk.apply()
    changed = intended('version = 1\n[[rule]]\nname = "family"\nemails = ["eve@example.com"]\nscopes = ["*"]')
    lines = await desk.drift(changed)
    assert any("policy family: include is" in line for line in lines)
    assert any("policy contractors: no longer wanted" in line for line in lines)

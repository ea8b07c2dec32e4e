"""The stand-in for Cloudflare's API: its forms, its refusals, its odd days, and what the edge asks of it."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from app.simulator.api import EVERY_PERMISSION, Account, ApiToken, Fault, Serving, serving
from app.simulator.api.faults import RateLimit

from .conftest import HOST, Clock

ALICE = {"name": "alice", "decision": "allow", "include": [{"email": {"email": "alice@example.com"}}]}
INGRESS = [{"hostname": HOST, "service": "http://127.0.0.1:8085"}, {"service": "http_status:404"}]


@dataclass
class Caller:
    run: Serving
    http: httpx2.AsyncClient
    token: str

    async def ask(self, method: str, path: str, body: Any = None, **query: Any) -> httpx2.Response:
        """`/access/…` and `/cfd_tunnel…` are below the account."""
        below = path.startswith(("/access", "/cfd_tunnel"))
        whole = f"/accounts/{self.run.account.id}{path}" if below else path
        headers = {"authorization": f"Bearer {self.token}"}
        return await self.http.request(method, self.run.url + whole, json=body, params=query, headers=headers)

    async def result(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        answer = await self.ask(method, path, body, **query)
        assert answer.json()["success"], answer.text
        return answer.json()["result"]

    async def refused(self, method: str, path: str, body: Any = None) -> tuple[int, int]:
        """Status and code."""
        answer = await self.ask(method, path, body)
        assert answer.json()["success"] is False
        assert answer.json()["result"] is None
        return answer.status_code, int(answer.json()["errors"][0]["code"])


@pytest.fixture
async def api(clock: Clock) -> AsyncIterator[Caller]:
    account = Account(now=clock)
    async with serving(account) as run, httpx2.AsyncClient(trust_env=False) as http:
        yield Caller(run, http, account.issue(ApiToken()))


async def test_an_answer_has_cloudflares_envelope(api: Caller) -> None:
    answer = await api.ask("GET", "/user/tokens/verify")
    assert answer.json() == {
        "success": True,
        "errors": [],
        "messages": [{"code": 10000, "message": "This API Token is valid and active", "type": None}],
        "result": {"id": api.run.account.tokens[api.token].id, "status": "active"},
    }


async def test_a_list_comes_in_pages(api: Caller) -> None:
    for _ in range(7):
        await api.result("POST", "/access/policies", ALICE)
    answer = await api.ask("GET", "/access/policies", page=3, per_page=3)
    assert len(answer.json()["result"]) == 1
    assert answer.json()["result_info"] == {
        "page": 3,
        "per_page": 3,
        "count": 1,
        "total_count": 7,
        "total_pages": 3,
    }


@pytest.mark.parametrize(
    ("method", "path", "subject"),
    [
        ("GET", "/access/policies", "Access: Apps and Policies"),
        ("GET", "/access/apps", "Access: Apps and Policies"),
        ("GET", "/access/service_tokens", "Access: Service Tokens"),
        ("GET", "/access/organizations", "Access: Organizations, Identity Providers, and Groups"),
        ("GET", "/cfd_tunnel", "Cloudflare Tunnel"),
        ("GET", "/zones", "Zone"),
    ],
)
async def test_a_token_without_the_permission_is_refused(
    api: Caller, method: str, path: str, subject: str
) -> None:
    left = {permission for permission in EVERY_PERMISSION if not permission.startswith(f"{subject}:")}
    api.token = api.run.account.issue(ApiToken(frozenset(left)))
    assert await api.refused(method, path) == (403, 10000)
    api.token = api.run.account.issue(ApiToken(frozenset({f"{subject}: Read"})))
    assert (await api.ask(method, path)).status_code == 200


async def test_to_read_a_tunnels_token_takes_the_permission_to_edit(api: Caller) -> None:
    tunnel = await api.result("POST", "/cfd_tunnel", {"name": "t", "config_src": "cloudflare"})
    api.token = api.run.account.issue(ApiToken(frozenset({"Cloudflare Tunnel: Read"})))
    assert await api.refused("GET", f"/cfd_tunnel/{tunnel['id']}/token") == (401, 1001)


async def test_who_is_nobody_is_told_so(api: Caller) -> None:
    api.token = "unknown"
    assert await api.refused("GET", "/access/policies") == (401, 1000)
    assert await api.refused("GET", "/zones") == (403, 9109)
    other = f"/accounts/{'0' * 32}/access/policies"
    api.token = api.run.account.issue(ApiToken())
    assert await api.refused("GET", other) == (403, 9109)


async def test_names_that_are_taken_are_refused_with_cloudflares_codes(api: Caller) -> None:
    app = {"type": "self_hosted", "domain": HOST}
    await api.result("POST", "/access/apps", app)
    assert await api.refused("POST", "/access/apps", app) == (409, 11010)
    await api.result("POST", "/cfd_tunnel", {"name": "t"})
    assert await api.refused("POST", "/cfd_tunnel", {"name": "t"}) == (409, 1013)
    zone = await _zone(api)
    record = {"type": "CNAME", "name": HOST, "content": "a.example.net"}
    await api.result("POST", f"{zone}/dns_records", record)
    assert await api.refused("POST", f"{zone}/dns_records", record) == (400, 81058)
    assert await api.refused(
        "POST", f"{zone}/dns_records", {**record, "type": "A", "content": "192.0.2.1"}
    ) == (400, 81053)


async def test_an_application_keeps_its_aud_and_takes_only_what_access_takes(api: Caller) -> None:
    app = await api.result("POST", "/access/apps", {"type": "self_hosted", "domain": HOST, "logo_url": "x"})
    changed = await api.result(
        "PUT", f"/access/apps/{app['id']}", {"type": "self_hosted", "domain": HOST, "aud": "mine"}
    )
    assert changed["aud"] == app["aud"]
    assert "logo_url" not in changed  # PUT replaces everything
    six = [{"type": "public", "uri": f"x{number}.example.com"} for number in range(6)]
    many = {"type": "self_hosted", "domain": six[0]["uri"], "destinations": six}
    assert await api.refused("POST", "/access/apps", many) == (400, 12130)
    long = {"type": "self_hosted", "domain": "a" * 52 + ".example.com"}
    assert await api.refused("POST", "/access/apps", long) == (400, 12130)


async def test_what_is_in_use_is_not_deleted(api: Caller) -> None:
    policy = await api.result("POST", "/access/policies", ALICE)
    links = [{"id": policy["id"], "precedence": 1}]
    app = await api.result("POST", "/access/apps", {"type": "self_hosted", "domain": HOST, "policies": links})
    assert await api.refused("DELETE", f"/access/policies/{policy['id']}") == (409, 12132)
    await api.result("DELETE", f"/access/apps/{app['id']}")
    await api.result("DELETE", f"/access/policies/{policy['id']}")
    assert await api.refused("GET", f"/access/policies/{policy['id']}") == (404, 11021)


async def test_deleted_tunnels_are_listed_unless_one_asks_for_the_others(api: Caller) -> None:
    tunnel = await api.result("POST", "/cfd_tunnel", {"name": "t"})
    api.run.account.connections[tunnel["id"]] = [{"id": "c"}]
    assert await api.refused("DELETE", f"/cfd_tunnel/{tunnel['id']}") == (400, 1022)
    await api.result("DELETE", f"/cfd_tunnel/{tunnel['id']}/connections")
    await api.result("DELETE", f"/cfd_tunnel/{tunnel['id']}")
    assert len(await api.result("GET", "/cfd_tunnel", name="t")) == 1
    assert await api.result("GET", "/cfd_tunnel", name="t", is_deleted="false") == []
    await api.result("POST", "/cfd_tunnel", {"name": "t"})  # its name is free again


async def test_a_configuration_must_end_in_a_rule_for_everything(api: Caller) -> None:
    tunnel = await api.result("POST", "/cfd_tunnel", {"name": "t", "config_src": "cloudflare"})
    path = f"/cfd_tunnel/{tunnel['id']}/configurations"
    assert (await api.result("GET", path))["config"] is None
    assert await api.refused("PUT", path, {"config": {"ingress": INGRESS[:1]}}) == (400, 1056)
    told: list[str] = []
    api.run.account.watchers.append(told.append)
    assert (await api.result("PUT", path, {"config": {"ingress": INGRESS}}))["version"] == 1
    assert (await api.result("PUT", path, {"config": {"ingress": INGRESS}}))["version"] == 2
    assert told == [tunnel["id"]] * 2


async def test_the_edge_finds_a_hosts_tunnel_its_secret_and_its_configuration(api: Caller) -> None:
    account = api.run.account
    tunnel = await api.result("POST", "/cfd_tunnel", {"name": "t", "config_src": "cloudflare"})
    zone = await _zone(api)
    record = {"type": "CNAME", "name": HOST, "content": f"{tunnel['id']}.cfargotunnel.com", "proxied": True}
    assert (account.tunnel_of(HOST), account.resolves(HOST)) == (None, False)
    kept = await api.result("POST", f"{zone}/dns_records", record)
    assert (account.tunnel_of(HOST), account.resolves(HOST)) == (tunnel["id"], True)
    token = json.loads(base64.b64decode(await api.result("GET", f"/cfd_tunnel/{tunnel['id']}/token")))
    assert token == {"a": account.account_tag, "t": tunnel["id"], "s": account.secret_of(tunnel["id"])}
    assert account.configuration_of(tunnel["id"]) is None
    await api.result("PUT", f"/cfd_tunnel/{tunnel['id']}/configurations", {"config": {"ingress": INGRESS}})
    version, config = account.configuration_of(tunnel["id"]) or (0, {})
    assert (version, config["ingress"]) == (1, INGRESS)
    await api.result("PATCH", f"{zone}/dns_records/{kept['id']}", {"proxied": False})
    assert account.tunnel_of(HOST) is None
    await api.result("DELETE", f"/cfd_tunnel/{tunnel['id']}")
    assert account.secret_of(tunnel["id"]) is None


async def test_the_edge_gets_an_applications_policies_with_groups_resolved(api: Caller) -> None:
    group = api.run.account.groups.put(
        {"id": "g", "name": "staff", "include": [{"email_domain": {"domain": "example.com"}}]}
    )
    staff = {"name": "staff", "decision": "allow", "include": [{"group": {"id": group["id"]}}]}
    policies = [await api.result("POST", "/access/policies", body) for body in (ALICE, staff)]
    links = [{"id": policies[0]["id"], "precedence": 2}, {"id": policies[1]["id"], "precedence": 1}]
    app = await api.result("POST", "/access/apps", {"type": "self_hosted", "domain": HOST, "policies": links})
    shown = api.run.account.policies_of(app["id"])
    assert [policy["name"] for policy in shown] == ["staff", "alice"]
    assert shown[0]["include"][0]["group"]["include"] == [{"email_domain": {"domain": "example.com"}}]


async def test_a_service_token_shows_its_secret_once_and_ends(api: Caller, clock: Clock) -> None:
    account = api.run.account
    token = await api.result("POST", "/access/service_tokens", {"name": "ci", "duration": "24h"})
    first = token["client_secret"]
    assert "client_secret" not in (await api.result("GET", "/access/service_tokens", name="ci"))[0]
    assert account.service_token(token["client_id"], first)
    assert not account.service_token(token["client_id"], "guessed")
    rotated = await api.result("POST", f"/access/service_tokens/{token['id']}/rotate", {})
    assert not account.service_token(token["client_id"], first)
    assert account.service_token(token["client_id"], rotated["client_secret"])
    clock.advance(25 * 3600)
    assert not account.service_token(token["client_id"], rotated["client_secret"])
    await api.result("POST", f"/access/service_tokens/{token['id']}/refresh", {})
    assert account.service_token(token["client_id"], rotated["client_secret"])


async def test_lists_may_lag_but_an_object_is_what_it_is(api: Caller) -> None:
    api.run.account.lag = 2
    policy = await api.result("POST", "/access/policies", ALICE)
    assert await api.result("GET", "/access/policies") == []
    assert (await api.result("GET", f"/access/policies/{policy['id']}"))["name"] == "alice"
    assert len(await api.result("GET", "/access/policies")) == 1


async def test_what_a_token_may_not_see_is_left_out_and_not_found(api: Caller) -> None:
    policy = await api.result("POST", "/access/policies", ALICE)
    api.token = api.run.account.issue(ApiToken(hidden=frozenset({policy["id"]})))
    assert await api.result("GET", "/access/policies") == []
    assert await api.refused("GET", f"/access/policies/{policy['id']}") == (404, 11021)


@pytest.mark.parametrize(("when", "there"), [("before", 0), ("after", 1)])
async def test_a_call_may_fail_before_or_after_it_took_effect(api: Caller, when: Any, there: int) -> None:
    api.run.faults += [Fault(1, "POST", when=when), Fault(2, "POST", when=when, status=500)]
    with pytest.raises(httpx2.RemoteProtocolError):
        await api.ask("POST", "/access/policies", ALICE)
    assert (await api.ask("POST", "/access/policies", ALICE)).status_code == 500
    assert len(await api.result("GET", "/access/policies")) == 2 * there
    assert [(call.method, call.status) for call in api.run.journal] == [
        ("POST", 0),
        ("POST", 500),
        ("GET", 200),
    ]


async def test_too_many_calls_are_told_how_long_to_wait(api: Caller, clock: Clock) -> None:
    api.run.rate = RateLimit(calls=2, window=300)
    for _ in range(2):
        await api.result("GET", "/zones")
    limited = await api.ask("GET", "/zones")
    assert (limited.status_code, float(limited.headers["retry-after"])) == (429, 300)
    clock.advance(300)
    assert (await api.ask("GET", "/zones")).status_code == 200


async def test_a_zone_has_no_custom_rules_until_there_are_some(api: Caller) -> None:
    zone = await _zone(api)
    entrypoint = f"{zone}/rulesets/phases/http_request_firewall_custom/entrypoint"
    assert await api.refused("GET", entrypoint) == (404, 10003)
    rule = {"action": "skip", "expression": "true", "description": "mine"}
    ruleset = await api.result("PUT", entrypoint, {"rules": [rule]})
    rules = f"{zone}/rulesets/{ruleset['id']}/rules"
    both = await api.result("POST", rules, {**rule, "description": "second"})
    assert [one["description"] for one in both["rules"]] == ["mine", "second"]
    left = await api.result("DELETE", f"{rules}/{both['rules'][0]['id']}")
    assert [one["description"] for one in left["rules"]] == ["second"]


async def _zone(api: Caller) -> str:
    [zone] = await api.result("GET", "/zones", name="example.com")
    return f"/zones/{zone['id']}"

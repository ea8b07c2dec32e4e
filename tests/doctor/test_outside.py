"""The whole way from outside, with one thing broken at Cloudflare, on the way or here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.provision.state import State
from app.simulator import SigningKey
from app.simulator.api import EVERY_PERMISSION
from tests.house import HOST
from tests.tunnel.cloudflareds import saying

from .breakage import Breakage, Breakages
from .golden_text import same_as_golden
from .internet import Internet, connection, open_internet

Keys = tuple[SigningKey, SigningKey, SigningKey]
EVERYONE: dict[str, list[dict[str, dict[str, str]]]] = {
    "include": [{"everyone": {}}],
    "exclude": [],
    "require": [],
}

# In topology `access`.
breaks: Breakages[Internet] = Breakages()
# In topology `oauth`.
breaks_oauth: Breakages[Internet] = Breakages()


@breaks("public name", "drift")
async def dns_missing(net: Internet) -> AsyncIterator[None]:
    net.records.remove(net.records.all()[0]["id"])
    net.addresses = []
    yield


@breaks("edge certificate", "drift")
async def dns_missing_behind_a_proxy(net: Internet) -> AsyncIterator[None]:
    net.records.remove(net.records.all()[0]["id"])
    net.addresses = None
    yield


@breaks("public name", "drift")
async def dns_not_proxied(net: Internet) -> AsyncIterator[None]:
    net.records.put({**net.records.all()[0], "proxied": False})
    net.addresses = ["fd10:aec2:5dae::1"]
    yield


@breaks("listing", "drift")
async def dns_record_of_somebody_else(net: Internet) -> AsyncIterator[None]:
    (record,) = net.records.all()
    net.records.put({**record, "type": "A", "content": "203.0.113.9", "comment": "the old server"})
    yield


@breaks("edge certificate")
async def certificate_of_a_stranger(net: Internet) -> AsyncIterator[None]:
    async with net.distrusting() as client:
        net.client = client
        yield


@breaks("Access application", "drift")
async def aud_changed(net: Internet) -> AsyncIterator[None]:
    app = net.one("apps")
    net.account.apps.remove(app["id"])
    net.account.apps.put({**app, "id": net.account.new_uuid(), "aud": "a1" * 32})
    yield


@breaks("edge", "drift")
async def app_deleted(net: Internet) -> AsyncIterator[None]:
    net.account.apps.remove(net.one("apps")["id"])
    yield


@breaks("edge", "drift")
async def bypass_added_by_hand(net: Internet) -> AsyncIterator[None]:
    app, policy = (
        net.one("apps"),
        {"id": "44444444-4444-4444-8444-444444444444", "name": "for a test", "decision": "bypass"},
    )
    net.account.policies.put({**policy, **EVERYONE})
    net.change("apps", policies=[*app["policies"], {"id": policy["id"], "precedence": 9}])
    yield


@breaks("Access application", "ingress", "drift")
async def app_deleted_and_no_second_lock(net: Internet) -> AsyncIterator[None]:
    net.account.apps.remove(net.one("apps")["id"])
    net.configure(net.rule(originRequest={}))
    yield


@breaks("ingress", "drift")
async def top_level_access(net: Internet) -> AsyncIterator[None]:
    guard = net.rule()["originRequest"]["access"]
    net.configure(net.rule(originRequest={}), originRequest={"access": guard})
    yield


@breaks("listing", "ingress", "drift")
async def ingress_to_the_lan_door(net: Internet) -> AsyncIterator[None]:
    net.configure(net.rule(service=net.world.house.lan))
    yield


@breaks("listing", "ingress", "drift")
async def ingress_for_another_hostname(net: Internet) -> AsyncIterator[None]:
    net.configure(net.rule(hostname="notes.example.com"))
    yield


@breaks("listing", "ingress", "drift")
async def ingress_to_a_closed_port(net: Internet) -> AsyncIterator[None]:
    net.configure(net.rule(service="http://127.0.0.1:1"))
    yield


@breaks("listing")
async def host_header_rewritten(net: Internet) -> AsyncIterator[None]:
    net.ways.host_header = "brain.internal"
    yield


@breaks("connector", "listing", "connectors")
async def connector_down(net: Internet) -> AsyncIterator[None]:
    net.ways.connected = False
    net.world.cloudflared.connections = 0
    net.account.connections.clear()
    yield


@breaks("connector", "listing", "connectors")
async def no_cloudflared_runs(net: Internet) -> AsyncIterator[None]:
    net.ways.connected = False
    net.world.metrics = "127.0.0.1:1"
    net.account.connections.clear()
    yield


@breaks("connectors")
async def two_connectors(net: Internet) -> AsyncIterator[None]:
    other = connection("22222222-2222-4222-8222-222222222222", "198.51.100.4")
    for connections in net.account.connections.values():
        connections.append(other)
    yield


@breaks("connectors")
async def connector_of_another_tunnel(net: Internet) -> AsyncIterator[None]:
    net.world.cloudflared.connector = "33333333-3333-4333-8333-333333333333"
    yield


@breaks("listing", "drift")
async def tunnel_deleted(net: Internet) -> AsyncIterator[None]:
    net.change("tunnels", deleted_at=net.account.timestamp())
    yield


@breaks("cloudflared")
async def cloudflared_too_old(net: Internet) -> AsyncIterator[None]:
    net.world.program = saying(net.world.folder / "old" / "cloudflared", "2026.3.0")
    yield


@breaks("cloudflared config")
async def stale_config_file(net: Internet) -> AsyncIterator[None]:
    text = net.world.configuration.read_text()
    net.world.write_configuration(text.replace(net.world.house.tunnel, net.world.house.lan))
    yield


@breaks("cloudflared config")
async def top_level_access_in_a_file(net: Internet) -> AsyncIterator[None]:
    net.world.write_configuration(
        f"tunnel: brain\noriginRequest:\n  access: {{required: true, teamName: acme, audTag: [{'0' * 64}]}}\n"
        f"ingress:\n- hostname: {HOST}\n  service: {net.world.house.tunnel}\n- service: http_status:404\n"
    )
    yield


@breaks("provisioned")
async def apply_was_interrupted(net: Internet) -> AsyncIterator[None]:
    state = net.files.state()
    assert state is not None
    net.files.keep_state(State(**{**vars(state), "pending": ("dns-record", HOST)}))
    yield


@breaks("user agents")
async def bot_rule(net: Internet) -> AsyncIterator[None]:
    net.edge.faults.challenged_agents = ("Claude-User", "ChatGPT-User")
    yield


@breaks("user agents")
async def browser_integrity_check(net: Internet) -> AsyncIterator[None]:
    net.edge.faults.blocked_agents = ("python-httpx",)
    yield


@breaks("first 401", "drift")
async def managed_oauth_off(net: Internet) -> AsyncIterator[None]:
    net.change("apps", oauth_configuration={"enabled": False})
    yield


@breaks("registration", "drift")
async def redirect_uri_missing(net: Internet) -> AsyncIterator[None]:
    oauth = net.one("apps")["oauth_configuration"]
    clients = oauth["dynamic_client_registration"]
    kept = [uri for uri in clients["allowed_uris"] if "claude" not in uri]
    net.change(
        "apps",
        oauth_configuration={**oauth, "dynamic_client_registration": {**clients, "allowed_uris": kept}},
    )
    yield


@breaks("service tokens")
async def service_token_ends_soon(net: Internet) -> AsyncIterator[None]:
    net.change("service_tokens", expires_at=net.account.timestamp(5 * 86_400 + 60))
    yield


@breaks("listing", "service tokens")
async def service_token_expired(net: Internet) -> AsyncIterator[None]:
    net.change("service_tokens", expires_at=net.account.timestamp(-2 * 86_400))
    yield


@breaks("listing", "drift")
async def policy_by_hand_without_the_service_token(net: Internet) -> AsyncIterator[None]:
    app = net.one("apps")
    kept = [link for link in app["policies"] if net.decision(link["id"]) != "non_identity"]
    net.change("apps", policies=kept)
    yield


@breaks("Cloudflare API")
async def api_token_without_a_permission(net: Internet) -> AsyncIterator[None]:
    net.permit(EVERY_PERMISSION - {"DNS: Edit", "Access: Apps and Policies: Edit"})
    yield


@breaks("Cloudflare API")
async def api_token_unknown(net: Internet) -> AsyncIterator[None]:
    net.world.variables["CLOUDFLARE_API_TOKEN"] = "revoked"
    yield


@breaks("listing")
async def server_answers_too_late(net: Internet) -> AsyncIterator[None]:
    net.edge.faults.status = 524
    yield


@breaks_oauth("first 401", "drift")
async def access_covers_mcp(net: Internet) -> AsyncIterator[None]:
    net.remove_place(f"{HOST}/mcp")
    yield


@breaks_oauth("discovery", "drift")
async def well_known_not_open(net: Internet) -> AsyncIterator[None]:
    net.remove_place(f"{HOST}/.well-known/*")
    yield


@breaks_oauth("discovery", "drift")
async def jwks_not_open(net: Internet) -> AsyncIterator[None]:
    net.remove_place(f"{HOST}/jwks")
    yield


@breaks_oauth("registration", "drift")
async def register_not_open(net: Internet) -> AsyncIterator[None]:
    net.remove_place(f"{HOST}/register")
    yield


@pytest.mark.parametrize("breakage", breaks.all, ids=lambda one: one.name)
async def test_what_is_broken_on_the_way_is_named_with_its_one_fix(
    tmp_path: Path, signing_keys: Keys, breakage: Breakage[Internet]
) -> None:
    async with open_internet(tmp_path, signing_keys[:2]) as net, breakage.spoil(net):
        await named(net, breakage)


@pytest.mark.parametrize("breakage", breaks_oauth.all, ids=lambda one: one.name)
async def test_what_is_broken_in_front_of_the_inner_oauth_server_is_named_with_its_one_fix(
    tmp_path: Path, signing_keys: Keys, breakage: Breakage[Internet]
) -> None:
    async with open_internet(tmp_path, signing_keys[:2], oauth=True) as net, breakage.spoil(net):
        await named(net, breakage)


@pytest.mark.parametrize("topology", ["access", "oauth"])
async def test_where_nothing_is_broken_every_check_is_ok(
    tmp_path: Path, signing_keys: Keys, topology: str
) -> None:
    """What is not asked there says why."""
    async with open_internet(tmp_path, signing_keys[:2], oauth=topology == "oauth") as net:
        checks = await net.checks()
        assert [check.name for check in checks if check.ok is False] == []
        not_asked = {
            "access": ["OAuth keys", "upstreams", "stream"],
            "oauth": ["upstreams", "listing", "stream"],
        }
        assert [check.name for check in checks if check.ok is None] == not_asked[topology]
        assert same_as_golden(f"healthy-{topology}.txt", net.world.as_told(checks))


async def named(net: Internet, breakage: Breakage[Internet]) -> None:
    failed = [check for check in await net.checks() if check.ok is False]
    assert tuple(check.name for check in failed) == breakage.failed
    assert all(check.evidence and check.fix for check in failed)
    assert same_as_golden(f"{breakage.name}.txt", net.world.as_told(failed))

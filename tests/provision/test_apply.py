"""From an empty account to an exposed Brain and back, against the stand-in API."""

from __future__ import annotations

import stat

import pytest

from app.provision import apply as provision
from app.provision import service_tokens
from app.provision.apply import InTheWay, NotApplied, OtherHostname
from app.provision.cloudflare import CloudflareRefused, PermissionMissing
from app.provision.found import ORDER
from app.provision.plan import Plan, Step
from app.simulator.api import EVERY_PERMISSION, ApiToken, Fault

from .desk import DOOR, HOST, POLICY, Desk, holdings, intended

OAUTH = intended(topology="oauth")


async def test_what_is_planned_is_what_is_done(desk: Desk) -> None:
    planned = await desk.plan()
    assert not desk.run.writes()
    await desk.apply()
    assert [step.shown() for step in desk.told] == [step.shown() for step in planned.steps]


@pytest.mark.parametrize("intent", [intended(), OAUTH], ids=["access", "oauth"])
async def test_a_second_apply_has_nothing_to_do(desk: Desk, intent: type) -> None:
    await desk.apply(intent)  # type: ignore[arg-type]
    before = desk.run.writes()
    assert await desk.plan(intent) == Plan((), auds=desk.files.state().auds)  # type: ignore[arg-type,union-attr]
    await desk.apply(intent)  # type: ignore[arg-type]
    assert desk.run.writes() == before


async def test_the_name_comes_last_and_goes_first(desk: Desk) -> None:
    await desk.apply()
    made = [ORDER.index(step.kind) for step in desk.told]
    assert made == sorted(made)
    desk.told.clear()
    await desk.down()
    gone = [ORDER.index(step.kind) for step in desk.told]
    assert gone == sorted(gone, reverse=True)
    assert desk.told[0].kind == "dns-record"


async def test_the_host_is_behind_access_and_cloudflared_checks_it_too(desk: Desk) -> None:
    applied = await desk.apply()
    [app] = desk.account.apps.all()
    assert app["domain"] == HOST
    assert applied.state.auds == (app["aud"],)
    tunnel = desk.account.tunnel_of(HOST)
    assert tunnel
    _, config = desk.account.configuration_of(tunnel) or (0, {})
    assert config["ingress"][0]["service"] == DOOR
    assert config["ingress"][0]["originRequest"]["access"] == {
        "required": True,
        "teamName": "acme",
        "audTag": [app["aud"]],
    }
    assert config["ingress"][-1] == {"service": "http_status:404"}


async def test_people_are_let_in_by_the_policies_of_their_rules(desk: Desk) -> None:
    await desk.apply()
    [app] = desk.account.apps.all()
    policies = desk.account.policies_of(app["id"])
    assert [policy["include"] for policy in policies] == [
        [{"email": {"email": "alice@example.com"}}, {"email": {"email": "bob@example.com"}}],
        [{"email_domain": {"domain": "contractor.example"}}],
    ]
    assert {policy["decision"] for policy in policies} == {"allow"}


async def test_with_the_inner_oauth_server_only_the_paths_of_programs_are_open(desk: Desk) -> None:
    await desk.apply(OAUTH)
    closed, *opened = desk.account.apps.all()
    assert closed["domain"] == HOST
    assert not closed["oauth_configuration"]["enabled"]
    places = [place["uri"] for app in opened for place in app["destinations"]]
    assert places == [
        f"{HOST}/{path}"
        for path in ("mcp", "mcp/*", ".well-known/*", "jwks", "register", "token", "revoke", "introspect")
    ]
    assert all(len(app["destinations"]) <= 5 for app in opened)
    decisions = {policy["decision"] for app in opened for policy in desk.account.policies_of(app["id"])}
    assert decisions == {"bypass"}


async def test_an_application_is_never_made_anew(desk: Desk) -> None:
    before = (await desk.apply()).state.auds
    assert (await desk.apply(OAUTH)).state.auds == before
    assert (await desk.apply(intended(POLICY.replace("bob@", "carol@")))).state.auds == before


async def test_who_leaves_the_policy_leaves_access(desk: Desk) -> None:
    await desk.apply()
    without = POLICY.partition('[[rule]]\nname = "contractors"')[0]
    await desk.apply(intended(without))
    assert [policy["name"] for policy in desk.account.policies.all()] == [f"family [brain-mcp {HOST}]"]


async def test_what_we_do_not_set_stays_as_it_is(desk: Desk) -> None:
    await desk.apply()
    [app] = desk.account.apps.all()
    desk.account.apps.put({**app, "logo_url": "https://example.com/logo.png", "session_duration": "1h"})
    [tunnel] = desk.account.tunnels.all()
    kept = desk.account.configurations[tunnel["id"]]
    kept["config"]["warp-routing"] = {"enabled": True}
    kept["config"]["ingress"][0]["service"] = "http://127.0.0.1:1"
    await desk.apply()
    [app] = desk.account.apps.all()
    assert (app["logo_url"], app["session_duration"]) == ("https://example.com/logo.png", "24h")
    config = desk.account.configurations[tunnel["id"]]["config"]
    assert config["warp-routing"] == {"enabled": True}
    assert config["ingress"][0]["service"] == DOOR


async def test_down_leaves_nothing_of_ours_and_everything_else(desk: Desk) -> None:
    policy = {"id": "p", "name": "family", "decision": "allow", "include": [{"everyone": {}}]}
    desk.account.policies.put({**policy, "require": [], "exclude": []})
    desk.account.zones["example.com"].records.put(
        {"id": "r", "type": "A", "name": "example.com", "content": "192.0.2.1", "proxied": True}
    )
    before = holdings(desk.account)
    await desk.apply(OAUTH)
    assert holdings(desk.account) != before
    await desk.down()
    assert holdings(desk.account) == before
    assert [path.name for path in desk.files.folder.iterdir()] == ["lock"]


async def test_down_without_a_state_finds_what_bears_the_mark(desk: Desk) -> None:
    before = holdings(desk.account)
    await desk.apply()
    desk.files.forget()
    await desk.down()
    assert holdings(desk.account) != before
    await desk.down(hostname=HOST)
    assert holdings(desk.account) == before


async def test_down_takes_a_tunnel_away_that_still_has_a_connector(desk: Desk) -> None:
    await desk.apply()
    [tunnel] = desk.account.tunnels.all()
    desk.account.connections[tunnel["id"]] = [{"id": "somewhere"}]
    await desk.down()
    assert desk.account.tunnel(tunnel["id"]) is None


async def test_a_lost_state_is_found_again(desk: Desk) -> None:
    await desk.apply()
    before = holdings(desk.account)
    desk.files.state_file.unlink()
    await desk.apply()
    assert holdings(desk.account) == before
    assert not (await desk.plan()).steps


async def test_one_exposure_at_a_time(desk: Desk) -> None:
    await desk.apply()
    with pytest.raises(OtherHostname, match="brain tunnel down"):
        await desk.apply(intended(hostname="other.example.com"))


async def test_two_brains_share_an_account(desk: Desk) -> None:
    await desk.apply()
    desk.files.forget()
    other = intended(hostname="other.example.com")
    await desk.apply(other)
    assert len(desk.account.apps.all()) == 2
    await desk.down()
    assert [app["domain"] for app in desk.account.apps.all()] == [HOST]
    assert desk.account.tunnel_of(HOST)


async def test_the_files_are_for_their_owner_alone_and_the_token_is_the_tunnels(desk: Desk) -> None:
    await desk.apply()
    [tunnel] = desk.account.tunnels.all()
    assert desk.files.token_file.read_text() == desk.account.tunnel_token(tunnel["id"])
    for path in (desk.files.token_file, desk.files.state_file):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert desk.files.token_file.read_text() not in desk.files.state_file.read_text()
    assert desk.token not in desk.files.state_file.read_text()


@pytest.mark.parametrize("permission", sorted(EVERY_PERMISSION - {"Zone WAF: Edit"}))
async def test_a_missing_permission_is_named_as_the_dashboard_does(desk: Desk, permission: str) -> None:
    desk.account.service_tokens.put({"id": "t", "name": "ci", "client_id": "1.access"})
    desk.allow(ApiToken(EVERY_PERMISSION - {permission}))
    rule = '[[rule]]\nname = "ci"\nservice_tokens = ["1.access"]\nscopes = ["mcp:tools:read"]'
    subject = permission.rpartition(": ")[0]
    if subject == "Access: Service Tokens":
        # Who has made none of them through us can do without; the rule that names one stays empty.
        assert any(
            "no service token 1.access" in note for note in (await desk.apply(intended(POLICY + rule))).notes
        )
        return
    with pytest.raises(PermissionMissing) as caught:
        await desk.apply(intended(POLICY + rule))
    assert [name.rpartition(": ")[0].partition(" → ")[2] for name in caught.value.permissions] == [subject]
    assert not desk.run.writes()


async def test_all_missing_permissions_are_named_at_once(desk: Desk) -> None:
    desk.allow(ApiToken(frozenset({"Zone: Read"})))
    with pytest.raises(PermissionMissing) as caught:
        await desk.apply()
    assert caught.value.permissions == (
        "Account → Access: Organizations, Identity Providers, and Groups: Read",
        "Account → Access: Apps and Policies: Read",
        "Account → Cloudflare Tunnel: Read",
        "Zone → DNS: Read",
    )


@pytest.mark.parametrize(
    ("permission", "named"),
    [
        ("Access: Apps and Policies", "Account → Access: Apps and Policies: Edit"),
        ("Cloudflare Tunnel", "Account → Cloudflare Tunnel: Edit"),
        ("DNS", "Zone → DNS: Edit"),
    ],
)
async def test_a_permission_to_read_is_not_one_to_edit(desk: Desk, permission: str, named: str) -> None:
    desk.allow(ApiToken(EVERY_PERMISSION - {f"{permission}: Edit"} | {f"{permission}: Read"}))
    with pytest.raises(PermissionMissing) as caught:
        await desk.apply()
    assert caught.value.permissions == (named,)
    desk.allow(ApiToken())
    await desk.apply()
    assert not (await desk.plan()).steps


@pytest.mark.parametrize("missing", [set(), {"Zone WAF: Read"}])
async def test_without_the_firewall_permission_everything_else_is_done(desk: Desk, missing: set[str]) -> None:
    desk.allow(ApiToken(EVERY_PERMISSION - {"Zone WAF: Edit"} | missing))
    applied = await desk.apply()
    assert desk.account.tunnel_of(HOST)
    assert any("Zone WAF: Edit" in note and "Custom rules" in note for note in applied.notes)
    assert not (await desk.plan()).steps
    assert not await desk.drift()


async def test_an_unknown_api_token_is_said_to_be_one_and_not_shown(desk: Desk) -> None:
    desk.token = "never-issued"
    with pytest.raises(CloudflareRefused, match="CLOUDFLARE_API_TOKEN") as caught:
        await desk.apply()
    assert "never-issued" not in caught.value.public


async def test_an_account_without_a_team_is_told_where_to_get_one(desk: Desk) -> None:
    desk.account.organization = None
    with pytest.raises(Exception, match="team name"):
        await desk.apply()


async def test_a_domain_that_the_token_does_not_see_is_named(desk: Desk) -> None:
    with pytest.raises(Exception, match=r"brain\.example\.org, example\.org"):
        await desk.apply(intended(hostname="brain.example.org"))


async def test_a_firewall_rule_that_the_plan_does_not_include_stops_nothing(desk: Desk) -> None:
    desk.run.faults.append(Fault(path="rulesets", method="PUT", status=400, times=99))
    applied = await desk.apply()
    assert any("Custom rules" in note for note in applied.notes)
    assert not (await desk.plan()).steps


async def test_rules_of_the_zone_that_are_not_ours_stay(desk: Desk) -> None:
    zone = desk.account.zones["example.com"]
    rule = {"id": "r", "version": "1", "action": "block", "expression": "true", "description": "mine"}
    zone.firewall = {"id": "s", "version": "3", "rules": [rule]}
    await desk.apply()
    assert [found["description"] for found in zone.firewall["rules"]] == ["mine", f"brain-mcp {HOST}"]
    await desk.down()
    assert [found["description"] for found in zone.firewall["rules"]] == ["mine"]


async def test_a_foreign_record_is_never_overwritten(desk: Desk) -> None:
    zone = desk.account.zones["example.com"]
    record = {"id": "r", "type": "A", "name": HOST, "content": "192.0.2.1", "proxied": True, "comment": None}
    zone.records.put(record)
    with pytest.raises(InTheWay, match=r"192\.0\.2\.1 is not ours"):
        await desk.apply()
    assert not desk.run.writes()
    assert zone.records.all() == [record]


async def test_a_firewall_rule_that_somebody_makes_meanwhile_is_not_lost(desk: Desk) -> None:
    zone = desk.account.zones["example.com"]
    theirs = {"id": "theirs", "description": "theirs", "expression": "true", "action": "block"}

    def meanwhile(step: Step) -> None:
        if step.kind == "waf-rule":
            zone.firewall = {"id": "f" * 32, "version": "1", "rules": [theirs]}

    async with desk.api() as api:
        await provision.apply(api, desk.files, intended(), meanwhile)
    assert zone.firewall is not None
    assert [rule["description"] for rule in zone.firewall["rules"]] == ["theirs", f"brain-mcp {HOST}"]


async def test_what_shall_not_go_stays_and_is_kept_here(desk: Desk) -> None:
    async with desk.api() as api:
        kept = await service_tokens.create(api, desk.files, "nightly", hostname=HOST)
        before, secret = holdings(desk.account), kept.file.read_bytes()
        await desk.apply()
        stays = await provision.down(api, desk.files, goes=lambda step: step.kind != "service-token")
    assert [(step.kind, step.name) for step in stays] == [("service-token", f"nightly [brain-mcp {HOST}]")]
    assert holdings(desk.account) == before
    assert kept.file.read_bytes() == secret
    assert not desk.files.token_file.exists()
    state = desk.files.state()
    assert state is not None
    assert (len(state.known("service-token")), state.known("application"), state.auds) == (1, (), ())
    with pytest.raises(NotApplied):
        await desk.drift()
    await desk.apply()
    await desk.down()
    assert not desk.account.service_tokens.all()
    assert not kept.file.exists()

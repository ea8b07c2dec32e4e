"""From an empty folder to a URL and back: a stand-in Cloudflare, a real cloudflared, real clients."""

from __future__ import annotations

import json
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from app.tunnel.proof import prove_gone

from .world import HOST, OWNER, URL, World, knocking, needs_cloudflared, up, world

FIRST = ("--owner", OWNER, "--hostname", HOST)
NIGHTLY = """
[[rule]]
name = "nightly"
service_tokens = ["{client_id}"]
scopes = ["mcp:tools:read"]
"""


@pytest.fixture
async def internet(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path) as opened:
        yield opened


def a_program(path: Path, does: str) -> str:
    """Something that says it is cloudflared."""
    path.write_text(
        f'#!/bin/sh\n[ "$1" = --version ] && echo cloudflared version 2026.10.0 && exit\n{does}\n'
    )
    path.chmod(0o755)
    return str(path)


@needs_cloudflared
async def test_from_an_empty_folder_to_a_url_that_lets_in_whom_the_policy_names_and_back(
    internet: World,
) -> None:
    async with knocking(internet) as knocks:
        async with up(internet, *FIRST) as running:
            await running.said(f"OPEN: {URL}")
            assert "refuses every stranger, too" in running.text
            person = await internet.through("person")
            assert person["whoami"]["principal"] == OWNER
            assert "create_note" in person["tools"]
            client = await internet.through("oauth")
            assert client["whoami"]["principal"] == OWNER
            with pytest.raises(AssertionError):
                await internet.through("nobody")
            code, said = await internet.brain("doctor", "--outside", "--json")
            checks = json.loads(said)["checks"]
            assert [one for one in checks if one["ok"] is False] == []
            assert code == 0
            assert sum(one["ok"] is True for one in checks) > 25
            code, said = await internet.brain("tunnel", "config", "--json")
            assert (code, json.loads(said)["ingress"][0]["hostname"]) == (0, HOST)
            assert await running.stop() == 0
        assert "leads nowhere now" in running.text
        code, said = await internet.brain("tunnel", "down")
        assert (code, said.splitlines()[-1]) == (
            0,
            f"{HOST} no longer answers, and nothing of it is left at Cloudflare.",
        )
    assert await internet.left_at_cloudflare() == []
    assert knocks.inside == []
    assert sum(knocks.answers.values()) > 50
    for file in (".env", "data/policy.toml", "data/tunnel/config.yml"):
        assert stat.S_IMODE((internet.folder / file).stat().st_mode) == 0o600


@needs_cloudflared
async def test_a_service_token_comes_in_where_a_rule_names_it(internet: World) -> None:
    code, said = await internet.brain(
        "tunnel", "service-token", "create", "nightly", "--hostname", HOST, "--json"
    )
    assert code == 0, said
    kept = json.loads(said.splitlines()[-1])
    policy = internet.folder / "data" / "policy.toml"
    policy.write_text(f"version = 1\n{NIGHTLY.format(client_id=kept['client_id'])}")
    async with up(internet, "--hostname", HOST) as running:
        await running.said(f"OPEN: {URL}")
        nightly = await internet.through("token", kept["file"])
        assert nightly["whoami"]["principal"] == kept["client_id"]
        assert "create_note" not in nightly["tools"]
        assert len(nightly["tools"]) == 7
        with pytest.raises(AssertionError):
            await internet.through("person")  # whom no rule names
        assert await running.stop() == 0


@needs_cloudflared
async def test_while_it_is_open_a_policy_that_names_others_is_told_until_it_is_applied(
    internet: World,
) -> None:
    policy = internet.folder / "data" / "policy.toml"
    async with up(internet, *FIRST) as running:
        await running.said(f"OPEN: {URL}")
        policy.write_text(policy.read_text().replace(OWNER, "bob@example.com"))
        await running.said(f"The policy is another. Cloudflare Access still lets in {OWNER} and does not")
        code, said = await internet.brain("tunnel", "apply")
        assert code == 0, said
        code, said = await internet.brain("policy", "test")
        assert (code, "Cloudflare Access" in said) == (0, False)
        assert await running.stop() == 0
    assert running.text.count("The policy is another.") == 1


@needs_cloudflared
async def test_with_the_inner_oauth_server_a_client_logs_in_here(internet: World) -> None:
    # The stranger who knocks has the address of the client here, and would use up what it may be refused.
    free = {"OAUTH_ENABLED": "true", "RATE_LIMIT_ATTEMPTS": "0"}
    async with knocking(internet) as knocks, up(internet, *FIRST, **free) as running:
        await running.said(f"OPEN: {URL}")
        client = await internet.through("oauth")
        assert client["whoami"]["principal"] == OWNER
        assert client["whoami"]["client"]
        # Beside it everything else works, though no team is written anywhere: above all the kill switch.
        for words in (
            ("deny", "bob@example.com"),
            ("oauth", "grants"),
            ("policy", "check"),
            ("audit", "verify"),
        ):
            code, said = await internet.brain(*words, **free)
            assert code == 0, said
        async with internet.internet() as http:
            found = (await http.get(f"https://{HOST}/.well-known/oauth-authorization-server")).json()
            assert found["issuer"] == f"https://{HOST}"
            asked = await http.get(f"https://{HOST}/authorize")
            assert (asked.status_code, asked.next_request is not None) == (302, True)
        assert await running.stop() == 0
    assert knocks.inside == []


@needs_cloudflared
async def test_a_good_assertion_opens_neither_the_lan_door_nor_another_name(internet: World) -> None:
    async with up(internet, *FIRST) as running:
        await running.said(f"OPEN: {URL}")
        assertion = (await internet.through("person"))["assertion"]
        lan, tunnel = internet.ports
        async with httpx2.AsyncClient(trust_env=False) as http:
            for port, host, status in (
                (lan, f"127.0.0.1:{lan}", 421),
                (tunnel, "evil.example.com", 421),
                (tunnel, HOST, 200),
            ):
                headers = {"Host": host, "Cf-Access-Jwt-Assertion": assertion}
                answer = await http.get(f"http://127.0.0.1:{port}/healthz", headers=headers)
                assert answer.status_code == status, (port, host)
        assert await running.stop() == 0


@needs_cloudflared
async def test_after_its_time_which_is_said_nothing_is_left(internet: World) -> None:
    async with up(internet, *FIRST, "--ttl", "1s", TZ="Asia/Kolkata") as running:
        await running.said(f"OPEN: {URL} until 20")
        assert running.text.endswith(" IST (1s)\n")
        assert await running.ended() == 0
    assert "The time is over." in running.text
    assert await internet.left_at_cloudflare() == []


@needs_cloudflared
async def test_killed_it_leaves_no_way_in_and_the_next_one_goes_on(internet: World) -> None:
    async with up(internet, *FIRST) as running:
        await running.said(f"OPEN: {URL}")
        running.process.kill()
        await running.ended()
    async with internet.internet() as http:
        await prove_gone(URL, http, within=20, look_every=0.1)
    before = sorted(await internet.left_at_cloudflare())
    async with up(internet) as running:
        await running.said(f"OPEN: {URL}")
        assert await running.stop() == 0
    assert sorted(await internet.left_at_cloudflare()) == before


@needs_cloudflared
async def test_where_a_bot_rule_answers_every_stranger_nothing_is_proven_and_nothing_stays_open(
    tmp_path: Path,
) -> None:
    async with world(tmp_path, "--challenge", "python-httpx") as internet:
        async with up(internet, *FIRST, "--wait", "6s") as running:
            assert await running.ended() == 1
        assert "NOT OPEN. " in running.text
        assert "by a bot rule (challenge), before Access was asked" in running.text
        assert f'Skip all remaining rules when Hostname equals "{HOST}"' in running.text
        assert "refuses every stranger, too" not in running.text
        assert f"OPEN: {URL}" not in running.text
        assert await internet.left_at_cloudflare() == []


@pytest.mark.parametrize("does", ["exit 1", "exec sleep 60"])
async def test_without_a_connection_everything_is_taken_down_again(internet: World, does: str) -> None:
    program = a_program(internet.folder / "cloudflared", does)
    async with up(internet, *FIRST, "--wait", "2s", CLOUDFLARED_BIN=program) as running:
        assert await running.ended() == 1
    assert "NOT OPEN. cloudflared had no connection to Cloudflare within 2 s." in running.text
    assert "OPEN: https" not in running.text
    assert await internet.left_at_cloudflare() == []


async def test_what_was_there_before_stays_when_it_cannot_be_opened(internet: World) -> None:
    assert (await internet.brain("tunnel", "apply", "--hostname", HOST))[0] == 0
    before = await internet.left_at_cloudflare()
    program = a_program(internet.folder / "cloudflared", "exit 1")
    async with up(internet, *FIRST, "--wait", "2s", CLOUDFLARED_BIN=program) as running:
        assert await running.ended() == 1
    assert "What was at Cloudflare before is still there." in running.text
    assert set(before) <= set(await internet.left_at_cloudflare())


NIGHTLY_AT_CLOUDFLARE = f"nightly [brain-mcp {HOST}]"


async def a_service_token(internet: World) -> Path:
    code, said = await internet.brain("tunnel", "service-token", "create", "nightly", "--hostname", HOST)
    assert code == 0, said
    return internet.folder / "data" / "tunnel" / "service-tokens" / "nightly.json"


async def test_a_service_token_outlives_a_first_time_that_fails(internet: World) -> None:
    file = await a_service_token(internet)
    secret = file.read_bytes()
    program = a_program(internet.folder / "cloudflared", "exit 1")
    async with up(internet, *FIRST, "--wait", "2s", CLOUDFLARED_BIN=program) as running:
        assert await running.ended() == 1
    assert "What was there before is still there." in running.text
    assert await internet.left_at_cloudflare() == [NIGHTLY_AT_CLOUDFLARE]
    assert file.read_bytes() == secret
    code, said = await internet.brain("tunnel", "service-token", "rotate", "nightly", "--hostname", HOST)
    assert code == 0, said
    code, said = await internet.brain("tunnel", "down")
    assert code == 0, said
    assert await internet.left_at_cloudflare() == []
    assert not file.exists()


@needs_cloudflared
async def test_a_service_token_outlives_the_end_of_the_time(internet: World) -> None:
    file = await a_service_token(internet)
    async with up(internet, *FIRST, "--ttl", "1s") as running:
        await running.said(f"OPEN: {URL}")
        assert await running.ended() == 0
    assert "nothing of it is left at Cloudflare but service tokens (nightly)" in running.text
    assert await internet.left_at_cloudflare() == [NIGHTLY_AT_CLOUDFLARE]
    assert file.exists()


async def test_an_application_that_is_made_anew_stays_before_a_name_that_was_there(internet: World) -> None:
    file = await a_service_token(internet)
    assert (await internet.brain("tunnel", "apply", "--hostname", HOST))[0] == 0
    before = sorted(await internet.left_at_cloudflare())
    async with internet.at_cloudflare() as http:
        [application] = (await http.get(f"{internet.account}/access/apps")).json()["result"]
        await http.delete(f"{internet.account}/access/apps/{application['id']}")
    program = a_program(internet.folder / "cloudflared", "exit 1")
    async with up(internet, *FIRST, "--wait", "2s", CLOUDFLARED_BIN=program) as running:
        assert await running.ended() == 1
    assert "create Access application" in running.text
    assert set(before) <= set(await internet.left_at_cloudflare())
    assert file.exists()


@needs_cloudflared
async def test_it_is_not_opened_while_another_connector_serves_the_tunnel(internet: World) -> None:
    assert (await internet.brain("tunnel", "apply", "--hostname", HOST))[0] == 0
    async with internet.another_connector():
        async with up(internet, *FIRST, "--wait", "3s") as running:
            assert await running.ended() == 1
        assert "NOT OPEN. Another connector serves this tunnel: " in running.text
        assert "OPEN: https" not in running.text
        assert "leads nowhere now" not in running.text
        async with up(internet) as running:
            await running.said("ANOTHER CONNECTOR serves this tunnel: ")
            assert await running.stop() == 0
        assert "leads nowhere now" not in running.text
        assert "but ANOTHER CONNECTOR serves" in running.text


@needs_cloudflared
async def test_another_connector_that_has_just_ended_is_waited_for(internet: World) -> None:
    assert (await internet.brain("tunnel", "apply", "--hostname", HOST))[0] == 0
    async with internet.another_connector() as another, up(internet, *FIRST) as running:
        await running.said("ANOTHER CONNECTOR serves this tunnel: ")
        another.kill()
        await running.said(f"OPEN: {URL}")
        assert await running.stop() == 0
    assert "leads nowhere now" in running.text


@needs_cloudflared
async def test_who_serves_the_name_after_the_end_is_said(internet: World) -> None:
    async with up(internet, *FIRST) as running:
        await running.said(f"OPEN: {URL}")
        async with internet.another_connector():
            assert await running.stop() == 0
    assert "cloudflared is down here, but ANOTHER CONNECTOR serves" in running.text
    assert "leads nowhere now" not in running.text


async def test_a_policy_that_is_a_link_to_nowhere_is_told_and_not_followed(internet: World) -> None:
    (internet.folder / "data").mkdir()
    (internet.folder / "data" / "policy.toml").symlink_to(internet.folder / "elsewhere")
    program = a_program(internet.folder / "cloudflared", "exit 1")
    code, said = await internet.brain("tunnel", "up", *FIRST, CLOUDFLARED_BIN=program)
    assert code == 2
    assert "policy.toml is a link that leads nowhere." in said
    assert "Traceback" not in said
    assert await internet.left_at_cloudflare() == []
    assert not (internet.folder / "elsewhere").exists()


async def test_a_port_in_use_is_told_before_anything_is_made(internet: World) -> None:
    program = a_program(internet.folder / "cloudflared", "exit 1")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        code, said = await internet.brain("tunnel", "up", *FIRST, CLOUDFLARED_BIN=program, MCP_PORT=port)
    assert code == 2
    assert "Address already in use" in said
    assert await internet.left_at_cloudflare() == []


@pytest.mark.parametrize(
    ("words", "more", "missing"),
    [
        (("--hostname", HOST), {}, "Say --owner EMAIL"),
        (("--owner", OWNER), {}, "Say --hostname"),
        (FIRST, {"CLOUDFLARE_API_TOKEN": ""}, "Account → Cloudflare Tunnel: Edit"),
        (("--owner", "alice", "--hostname", HOST), {}, "--owner alice: must be an e-mail address"),
        (("--owner", OWNER, "--hostname", "brain"), {}, "must be a name like brain.example.com"),
        *(
            (("--owner", OWNER, "--hostname", odd), {}, "must be a name like brain.example.com")
            for odd in (
                "brain..example.com",
                ".example.com",
                "brain.example.com.",
                "brain-.example.com",
                "\uff42rain.example.com",  # full-width
                "brain.example.\u212aom",  # the Kelvin sign, lower case a plain k
                f"{'a' * 64}.example.com",
                "brain.example.com\n",
            )
        ),
        ((*FIRST, "--ttl", "soon"), {}, "--ttl soon: write a length of time"),
        (FIRST, {"CLOUDFLARE_API_TOKEN": "wrong"}, "Cloudflare does not know the API token"),
        (("--owner", OWNER, "--hostname", "brain.elsewhere.org"), {}, "brain.elsewhere.org"),
    ],
)
async def test_nobody_is_asked_where_nobody_can_answer_and_nothing_is_written(
    internet: World, words: tuple[str, ...], more: dict[str, str], missing: str
) -> None:
    code, said = await internet.brain("tunnel", "up", *words, **more)
    assert code == 2
    assert missing in said
    assert list(internet.folder.iterdir()) == []

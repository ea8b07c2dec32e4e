"""`brain tunnel plan | apply | drift | down | service-token`, as a process of its own."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

import pytest

from app.simulator.api import Fault
from tests.cli.brain import COMMAND, Ran, brain, environ, free_port

from .desk import HOST, POLICY, Desk, desk, holdings
from .golden_text import same_as_golden

NAMING = """
[[rule]]
name = "ci"
service_tokens = ["{id}"]
scopes = ["mcp:tools:read"]
"""


async def ask(desk: Desk, folder: Path, *words: str, policy: str = POLICY, **variables: str) -> Ran:
    here = _variables(desk, folder, **variables)
    (folder / "policy.toml").write_text(policy)
    return await brain(folder, "tunnel", *words, stdin=b"", **here)


def _variables(desk: Desk, folder: Path, **variables: str) -> dict[str, str]:
    (folder / "policy.toml").write_text(POLICY)
    return {
        "CLOUDFLARE_API_TOKEN": desk.token,
        "CLOUDFLARE_API_BASE": desk.run.url,
        "BASE_URL": f"https://{HOST}",
        "DATA_DIR": str(folder),
        # There is no internet here: whatever is asked out there is not reached.
        "HTTPS_PROXY": f"http://127.0.0.1:{free_port()}",
        **variables,
    }


async def test_from_nothing_to_everything_and_back(desk: Desk, tmp_path: Path) -> None:
    before = holdings(desk.account)
    planned = await ask(desk, tmp_path, "plan")
    assert planned.code == 0
    assert same_as_golden("plan-access.txt", planned.out)
    applied = await ask(desk, tmp_path, "apply")
    assert applied.code == 0
    assert applied.out.startswith(planned.out)
    assert f"{HOST} is set up: team acme, AUD tag" in applied.out
    again = await ask(desk, tmp_path, "plan", "--json")
    assert (again.code, json.loads(again.out)) == (0, [])
    fine = await ask(desk, tmp_path, "drift")
    assert (fine.code, fine.out) == (0, "Everything is as it should be.\n")
    [app] = desk.account.apps.all()
    desk.account.apps.put({**app, "session_duration": "720h"})
    drift = await ask(desk, tmp_path, "drift")
    assert (drift.code, drift.out) == (1, "application Brain: session_duration is 720h, not 24h\n")
    machine = await ask(desk, tmp_path, "drift", "--json")
    [finding] = json.loads(machine.out)
    assert finding == {
        "kind": "application",
        "name": f"Brain [brain-mcp {HOST}]",
        "what": "session_duration is 720h, not 24h",
    }
    down = await ask(desk, tmp_path, "down")
    assert down.code == 0
    assert down.out.endswith(f"{HOST} no longer answers, and nothing of it is left at Cloudflare.\n")
    assert holdings(desk.account) == before
    secrets = [desk.token, *(token for token in [planned.out, applied.out] if "eyJ" in token)]
    for ran in (planned, applied, again, drift, down):
        assert not any(secret in ran.out + ran.err for secret in secrets)


async def test_plan_and_apply_as_json(desk: Desk, tmp_path: Path) -> None:
    planned = json.loads((await ask(desk, tmp_path, "plan", "--json")).out)
    assert {tuple(step) for step in planned} == {("action", "kind", "name", "why")}
    applied = json.loads((await ask(desk, tmp_path, "apply", "--json")).out)
    assert applied["steps"] == planned
    assert applied["auds"] == [desk.account.apps.all()[0]["aud"]]


async def test_what_is_missing_is_named_and_nobody_is_asked(desk: Desk, tmp_path: Path) -> None:
    no_token = await ask(desk, tmp_path, "plan", CLOUDFLARE_API_TOKEN="")
    assert no_token.code == 2
    assert same_as_golden("no-token.txt", no_token.err)
    no_name = await ask(desk, tmp_path, "plan", BASE_URL="")
    assert (no_name.code, no_name.err) == (
        2,
        "brain: Which public name shall it have? Say --hostname brain.example.com, or set BASE_URL.\n",
    )
    two_names = await ask(desk, tmp_path, "plan", "--hostname", "other.example.com")
    assert two_names.code == 2
    assert "answers to one name only" in two_names.err
    odd = await ask(desk, tmp_path, "plan", "--hostname", "no", BASE_URL="")
    assert odd.code == 2
    assert not desk.run.writes()


@pytest.mark.parametrize("token", ["a" * 40, "two words", "\N{EN DASH}"])
async def test_a_token_that_cloudflare_does_not_know_is_told_as_that(
    desk: Desk, tmp_path: Path, token: str
) -> None:
    ran = await ask(desk, tmp_path, "plan", CLOUDFLARE_API_TOKEN=token)
    assert ran.code == 2
    assert ran.err.startswith("brain: Cloudflare does not know the API token (CLOUDFLARE_API_TOKEN). Create")


async def test_the_server_is_told_what_it_must_accept_unless_it_knows(desk: Desk, tmp_path: Path) -> None:
    first = await ask(desk, tmp_path, "apply")
    [app] = desk.account.apps.all()
    assert first.out.endswith(f"CF_ACCESS_TEAM=acme\nCF_ACCESS_AUD={app['aud']}\n")
    second = await ask(desk, tmp_path, "apply", CF_ACCESS_TEAM="acme", CF_ACCESS_AUD=app["aud"])
    assert "CF_ACCESS" not in second.out


async def test_with_the_inner_oauth_server_the_plan_is_another(desk: Desk, tmp_path: Path) -> None:
    planned = await ask(desk, tmp_path, "plan", OAUTH_ENABLED="true")
    assert same_as_golden("plan-oauth.txt", planned.out)


async def test_other_tools_variables_lead_nowhere_else(desk: Desk, tmp_path: Path) -> None:
    elsewhere = {
        "CLOUDFLARE_EMAIL": "somebody@example.com",
        "CLOUDFLARE_API_KEY": "a-global-key",
        "CLOUDFLARE_BASE_URL": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
    }
    ran = await ask(desk, tmp_path, "plan", **elsewhere)
    assert ran.code == 0, ran.err


async def test_what_is_in_the_way_is_a_problem(desk: Desk, tmp_path: Path) -> None:
    desk.account.zones["example.com"].records.put(
        {"id": "r", "type": "A", "name": HOST, "content": "192.0.2.1", "proxied": True, "comment": None}
    )
    planned = await ask(desk, tmp_path, "plan")
    assert planned.code == 1
    assert "In the way: DNS record A brain.example.com → 192.0.2.1 is not ours" in planned.out
    machine = await ask(desk, tmp_path, "plan", "--json")
    assert machine.code == 1
    assert "in the way: DNS record" in machine.err
    applied = await ask(desk, tmp_path, "apply")
    assert applied.code == 2
    assert applied.err.startswith("brain: Nothing was changed:\n- DNS record A")


async def test_down_with_nothing_there_says_so(desk: Desk, tmp_path: Path) -> None:
    ran = await ask(desk, tmp_path, "down")
    assert (ran.code, ran.out.startswith("Nothing is exposed from here.")) == (0, True)


async def test_a_service_token_is_made_and_rotated_without_a_secret_on_the_screen(
    desk: Desk, tmp_path: Path
) -> None:
    made = await ask(desk, tmp_path, "service-token", "create", "nightly")
    assert made.code == 0
    file = tmp_path / "tunnel" / "service-tokens" / "nightly.json"
    kept = json.loads(file.read_text())
    assert f"client id  {kept['client_id']}" in made.out
    assert f'service_tokens = ["{kept["client_id"]}"]' in made.out
    assert kept["client_secret"] not in made.out + made.err
    rotated = await ask(desk, tmp_path, "service-token", "rotate", "nightly", "--overlap", "1h", "--json")
    shown = json.loads(rotated.out)
    assert shown["client_id"] == kept["client_id"]
    assert "client_secret" not in shown
    assert json.loads(file.read_text())["client_secret"] != kept["client_secret"]
    unknown = await ask(desk, tmp_path, "service-token", "rotate", "other")
    assert (unknown.code, "there is: nightly" in unknown.err) == (2, True)


async def test_service_tokens_are_listed_with_the_rules_that_name_them(desk: Desk, tmp_path: Path) -> None:
    none = await ask(desk, tmp_path, "service-token", "list")
    assert (none.code, none.out) == (0, f"There is no service token of ours for {HOST}.\n")
    made = json.loads((await ask(desk, tmp_path, "service-token", "create", "nightly", "--json")).out)
    unnamed = await ask(desk, tmp_path, "service-token", "list")
    id, ends = made["client_id"], made["expires_at"]
    assert unnamed.out == f"nightly  {id}  ends {ends}  NAMED BY NO RULE of the policy\n"
    policy = POLICY + NAMING.format(id=id)
    named = await ask(desk, tmp_path, "service-token", "list", policy=policy)
    assert named.out == f"nightly  {id}  ends {ends}  named by ci\n"
    machine = await ask(desk, tmp_path, "service-token", "list", "--json", policy=policy)
    assert json.loads(machine.out) == [
        {"name": "nightly", "client_id": id, "expires_at": ends, "file": made["file"], "rules": ["ci"]}
    ]


async def test_a_service_token_is_deleted_and_a_rule_that_names_it_is_told(
    desk: Desk, tmp_path: Path
) -> None:
    made = json.loads((await ask(desk, tmp_path, "service-token", "create", "nightly", "--json")).out)
    id, file = made["client_id"], Path(made["file"])
    policy = POLICY + NAMING.format(id=id)
    deleted = await ask(desk, tmp_path, "service-token", "delete", "nightly", policy=policy)
    assert deleted.code == 0
    assert deleted.out == f"{id} lets nobody in any more. Its secret was in {file}; that is gone.\n"
    assert deleted.err == f"brain: {tmp_path}/policy.toml still names {id}: take it out of ci.\n"
    assert desk.account.service_tokens.all() == []
    assert not file.exists()  # noqa: ASYNC240
    again = await ask(desk, tmp_path, "service-token", "delete", "nightly")
    assert (again.code, "There is no service token nightly of ours" in again.err) == (2, True)
    found = await brain(tmp_path, "audit", "tail", "--json", DATA_DIR=str(tmp_path))
    records = [json.loads(line) for line in found.out.splitlines()]
    assert ("brain/tunnel/service-token/delete", "nightly") in [
        (one["operation"], one["name"]) for one in records
    ]


async def test_a_token_is_deleted_whatever_the_policy_is_like(desk: Desk, tmp_path: Path) -> None:
    await ask(desk, tmp_path, "service-token", "create", "nightly")
    ran = await ask(desk, tmp_path, "service-token", "delete", "nightly", "--json", policy="version = 2")
    assert (ran.code, json.loads(ran.out)["name"]) == (0, "nightly")
    assert "Whether a rule of the policy still names it cannot be seen" in ran.err
    assert desk.account.service_tokens.all() == []


async def test_what_was_changed_goes_on_record(desk: Desk, tmp_path: Path) -> None:
    await ask(desk, tmp_path, "apply")
    found = await brain(tmp_path, "audit", "tail", "--json", DATA_DIR=str(tmp_path))
    assert '"operation":"brain/tunnel/apply"' in found.out.replace(" ", "")
    assert HOST in found.out


async def test_a_process_that_is_killed_in_the_middle_goes_on(tmp_path: Path) -> None:
    """kill -9, once before and once after each of some changes took effect."""
    async with desk(tmp_path / "whole") as whole:
        await whole.apply()
        wanted = holdings(whole.account)
    for nth in (2, 4):
        folder = tmp_path / f"{nth}"
        folder.mkdir()
        async with desk(folder) as one:
            fault = Fault(nth, "POST|PUT", when="after", hold=asyncio.Event())
            one.run.faults.append(fault)
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                "tunnel",
                "apply",
                cwd=folder,
                env=environ(**_variables(one, folder)),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
            )
            async with asyncio.timeout(30):
                await fault.reached.wait()
            process.send_signal(signal.SIGKILL)
            await process.wait()
            assert fault.hold
            fault.hold.set()
            one.run.faults.clear()
            ran = await ask(one, folder, "apply")
            assert (ran.code, ran.err) == (0, "")
            assert holdings(one.account) == wanted, f"killed after change {nth}"

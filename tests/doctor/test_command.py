"""`brain doctor` as people and scripts run it: a process, its exit code, what it prints."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from app.doctor.checks import Check, Question, Verdict, examine, fine, in_sum, in_words, unasked, wrong
from app.doctor.storage import shut_off
from app.errors import AppError
from app.simulator import SigningKey
from app.store.denies import Entry
from tests.cli.brain import brain, serving

from .golden_text import same_as_golden

Keys = tuple[SigningKey, SigningKey, SigningKey]


async def test_on_a_machine_of_the_lan_alone_nothing_is_wrong(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        port = str(server.port)
        ran = await brain(tmp_path, "doctor", "--outside", MCP_TRANSPORT="http", MCP_PORT=port)
        assert (ran.code, ran.err) == (0, "")
        text = ran.out.replace(str(tmp_path), "FOLDER").replace(port, "PORT")
        assert same_as_golden("command-lan.txt", text)
        asked = await brain(tmp_path, "doctor", "--json", MCP_TRANSPORT="http", MCP_PORT=port)
        told = json.loads(asked.out)
        assert (asked.code, told["ok"]) == (0, True)
        assert sorted(told["checks"][0]) == ["evidence", "fix", "lines", "name", "ok", "part"]
        assert {check["part"] for check in told["checks"]} == {"inside"}


async def test_a_problem_is_exit_code_1_and_its_fix_stands_below_it(tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("version = 2\n")
    ran = await brain(tmp_path, "doctor", DATA_DIR=str(tmp_path))
    assert ran.code == 1
    lines = ran.out.splitlines()
    failed = next(number for number, line in enumerate(lines) if line.startswith("FAIL"))
    assert lines[failed + 1] == "      fix: version: must be 1; write `version = 1` as the first line"
    assert lines[-1].endswith("Begin with: policy.")
    asked = json.loads((await brain(tmp_path, "doctor", "--json", DATA_DIR=str(tmp_path))).out)
    assert asked["ok"] is False
    assert [check["name"] for check in asked["checks"] if check["ok"] is False] == ["policy"]


async def test_settings_that_cannot_be_read_are_exit_code_2_and_all_of_them_are_named(tmp_path: Path) -> None:
    ran = await brain(tmp_path, "doctor", "--outside", MCP_PORT="x", CF_ACCESS_AUD="y")
    assert ran.code == 2
    assert same_as_golden("command-settings.txt", ran.out)
    asked = await brain(tmp_path, "doctor", "--json", MCP_PORT="x")
    assert (asked.code, json.loads(asked.out)["ok"]) == (2, False)


async def test_a_stream_is_listened_to_from_outside_alone(tmp_path: Path) -> None:
    ran = await brain(tmp_path, "doctor", "--stream", "130")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("brain: --stream needs --outside")


async def test_a_look_changes_nothing(tmp_path: Path) -> None:
    """Not even the folder is made."""
    ran = await brain(tmp_path, "doctor", OAUTH_ENABLED="false")
    assert ran.code == 0
    assert os.listdir(tmp_path) == []


async def test_who_is_shut_off_is_told_and_is_no_failure() -> None:
    verdict = shut_off(
        [Entry("eve@example.com", 1_800_000_000.0, "ann"), Entry("door:tunnel", 1_800_000_060.0, "ann")]
    )
    assert verdict.ok is True
    check = Check("inside", "kill switch", verdict.ok, verdict.evidence, verdict.fix, verdict.lines)
    assert same_as_golden("shut-off.txt", in_words(check) + "\n")


async def failing() -> Verdict:
    return wrong("it is broken", "mend it")


async def refusing() -> Verdict:
    raise AppError("Say so and do this.", detail="what happened")


async def standing() -> Verdict:
    return fine("it stands")


async def absent() -> Verdict:
    return unasked("there is none")


async def never() -> Verdict:
    raise AssertionError("this must not be asked")


async def test_nothing_is_asked_whose_ground_is_gone_and_the_first_cause_is_told() -> None:
    questions = [
        Question("first", failing),
        Question("second", never, ("first",)),
        Question("third", never, ("second",)),
        Question("fourth", standing),
        Question("fifth", absent, ("fourth",)),
        Question("sixth", never, ("fifth",)),
        Question("seventh", refusing, ("fourth",)),
    ]
    checks = [check async for check in examine(questions)]
    assert [(check.name, check.ok, check.evidence) for check in checks] == [
        ("first", False, "it is broken"),
        ("second", None, "first failed"),
        ("third", None, "first failed"),
        ("fourth", True, "it stands"),
        ("fifth", None, "there is none"),
        ("sixth", None, "there is none"),
        ("seventh", False, "what happened"),
    ]
    assert checks[-1].fix == "Say so and do this."
    assert in_sum(checks) == "1 ok, 2 failed, 4 not asked. Begin with: first."


@pytest.mark.parametrize("hostile", ["\x1b[2J", "a\nfake", "‮gnp"])
def test_nothing_that_another_machine_says_acts_on_the_terminal(hostile: str) -> None:
    told = in_words(Check("outside", "edge", False, f"from {hostile}", f"see {hostile}", (hostile,)))
    assert len(told.splitlines()) == 3
    assert hostile not in told


async def test_a_tunnel_door_that_is_a_unix_socket_is_asked_there(tmp_path: Path) -> None:
    door = tmp_path / "door.sock"
    variables: dict[str, Any] = {
        "TUNNEL_DOOR": f"unix:{door}",
        "BASE_URL": "https://brain.example.com",
        "CF_ACCESS_TEAM": "acme",
        "CF_ACCESS_AUD": "a" * 64,
        "CF_ACCESS_CERTS_URL": "http://127.0.0.1:1/certs",
    }
    async with serving(tmp_path, **variables) as server:
        where: dict[str, Any] = {"MCP_TRANSPORT": "http", "MCP_PORT": str(server.port)}
        ran = await brain(tmp_path, "doctor", "--json", **variables, **where)
    checks = {check["name"]: check for check in json.loads(ran.out)["checks"]}
    assert checks["tunnel door"]["ok"] is True
    assert checks["tunnel door"]["evidence"] == f"unix:{door} refuses who has no assertion, and a forged one"
    assert (ran.code, checks["Access keys"]["ok"]) == (1, False)

"""Whom the policy names and Access does not know, or knows still."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.policy.parse import parse
from app.provision.files import TunnelFiles
from app.provision.named import behind, told
from app.provision.state import State
from app.tunnel.config import Topology
from tests.cli.brain import brain

from .desk import HOST, POLICY, Desk, intended

EVERY = """
[[rule]]
name = "all"
any_person = true
scopes = ["mcp:tools:read"]
"""
BEHIND = "Cloudflare Access {}. `brain tunnel apply` changes that."


def naming(**selectors: list[str]) -> str:
    lines = "\n".join(f"{by} = {json.dumps(values)}" for by, values in selectors.items())
    return f'version = 1\n[[rule]]\nname = "r"\nscopes = ["mcp:tools:read"]\n{lines}\n'


def said(before: str, now: str, topology: Topology = "access") -> str:
    whom = told(parse(before.encode()).rules, topology)
    state = State(HOST, "a", "z", "example.com", "acme", topology, ("aud",), told=whom)
    return behind(state, parse(now.encode()).rules)


@pytest.mark.parametrize(
    ("before", "now", "lets"),
    [
        (naming(emails=["a@x.org", "b@x.org"]), naming(emails=["a@x.org"]), "still lets in b@x.org"),
        (naming(emails=["a@x.org"]), naming(emails=["a@x.org", "b@x.org"]), "does not let in b@x.org yet"),
        (
            naming(groups=["staff"], service_tokens=["1.access"]),
            naming(domains=["x.org"]),
            "still lets in the group staff, the service token 1.access and does not let in everybody of "
            "x.org yet",
        ),
        (POLICY + EVERY, POLICY, "still lets in every person who can log in"),
        (
            naming(emails=[f"{who}@x.org" for who in "abcde"]),
            naming(domains=["y.org"]),
            "still lets in a@x.org, b@x.org, c@x.org, 2 more and does not let in everybody of y.org yet",
        ),
    ],
)
def test_who_is_let_in_otherwise_than_the_policy_says_is_named(before: str, now: str, lets: str) -> None:
    assert said(before, now) == BEHIND.format(lets)


@pytest.mark.parametrize(
    ("before", "now", "topology"),
    [
        (POLICY, POLICY.replace("mcp:tools:write", "mcp:tools:read").replace("family", "friends"), "access"),
        (naming(domains=["x.org"], emails=["a@x.org"]), naming(domains=["x.org"]), "access"),
        (naming(domains=["x.org"]), naming(domains=["x.org"], emails=["a@x.org"]), "access"),
        (POLICY + EVERY, naming(groups=["staff"]) + EVERY, "access"),
        (POLICY, naming(service_tokens=["client:nightly"]) + POLICY.replace("version = 1", ""), "oauth"),
        (POLICY, naming(service_tokens=["1.access"]) + POLICY.replace("version = 1", ""), "oauth"),
    ],
)
def test_what_makes_no_difference_to_who_is_let_in_is_not_told(
    before: str, now: str, topology: Topology
) -> None:
    assert said(before, now, topology) == ""


async def test_until_it_is_applied_each_policy_command_says_whom_access_lets_in(
    desk: Desk, tmp_path: Path
) -> None:
    policy, other = tmp_path / "policy.toml", tmp_path / "other.toml"
    policy.write_text(POLICY)
    await desk.apply()
    changed = POLICY.replace("bob@", "carol@")
    other.write_text(changed)
    sentence = "Cloudflare Access still lets in bob@example.com and does not let in carol@example.com yet."
    once = f"brain: {sentence} `brain tunnel apply` changes that, once other.toml is in force.\n"
    for words in (("diff", "policy.toml", "other.toml"), ("test", "other.toml"), ("check", "other.toml")):
        assert (await brain(tmp_path, "policy", *words, DATA_DIR=str(tmp_path))).err == once
    assert (await brain(tmp_path, "policy", "test", "--json", DATA_DIR=str(tmp_path))).err == ""
    policy.write_text(changed)
    for verb in ("test", "check"):
        ran = await brain(tmp_path, "policy", verb, "--json", DATA_DIR=str(tmp_path))
        assert (ran.code, ran.err) == (0, f"brain: {sentence} `brain tunnel apply` changes that.\n")
        json.loads(ran.out)
    await desk.apply(intended(changed))
    assert (await brain(tmp_path, "policy", "test", DATA_DIR=str(tmp_path))).err == ""


async def test_where_nothing_is_exposed_or_nobody_knows_what_was_applied_nothing_is_said(desk: Desk) -> None:
    others = parse(naming(emails=["a@x.org"]).encode()).rules
    assert behind(None, others) == ""
    await desk.apply()
    assert behind(desk.files.state(), others) != ""
    kept = json.loads(desk.files.state_file.read_text())
    del kept["told"]  # as an older version wrote it
    desk.files.state_file.write_text(json.dumps(kept))
    assert behind(desk.files.state(), others) == ""
    await desk.apply()
    assert behind(TunnelFiles(desk.files.folder).state(), others) != ""
    await desk.down()
    assert behind(desk.files.state(), others) == ""

"""How long it stays open."""

from __future__ import annotations

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from app.kept_open import keep_open, reloads_told, until
from app.policy.file import PolicyFile
from app.policy.parse import parse
from app.provision.files import TunnelFiles
from app.provision.named import told
from app.provision.state import State
from app.welcome import welcome
from tests.provision.desk import HOST, POLICY, intended
from tests.provision.test_plan import EMPTY

HOUR = 3600.0
AT = datetime(2026, 11, 29, 16, 42).timestamp()  # local time


async def test_a_machine_that_slept_through_the_time_ends_it_as_soon_as_it_wakes() -> None:
    clock = iter([AT, AT, AT + 9 * HOUR])
    async with asyncio.timeout(20):
        await keep_open(2 * HOUR, lambda: next(clock), look_every=0.01)


async def test_a_clock_that_is_set_back_does_not_prolong_it() -> None:
    clock = [AT]

    def slower() -> float:
        clock[0] -= 60
        return clock[0]

    async with asyncio.timeout(20):
        await keep_open(0.05, slower, look_every=0.01)


def test_a_policy_that_names_others_says_once_whom_access_still_lets_in(tmp_path: Path) -> None:
    clock, said = [AT], list[str]()
    file, files = tmp_path / "policy.toml", TunnelFiles(tmp_path / "tunnel")
    file.write_text(POLICY)
    rules = parse(POLICY.encode()).rules
    files.keep_state(
        State(HOST, "a", "z", "example.com", "acme", "access", ("aud",), told=told(rules, "access"))
    )
    look = reloads_told(PolicyFile(file, lambda: clock[0]), files, said.append)
    for text in (POLICY, POLICY.replace("bob@", "carol@"), POLICY.replace("write", "read") + "\n"):
        file.write_text(text)
        for _ in range(3):
            clock[0] += 1
            look()
    assert said == [
        "The policy is another. Cloudflare Access still lets in bob@example.com and does not let in "
        "carol@example.com yet. `brain tunnel apply` changes that."
    ]


def test_a_policy_that_changed_while_it_was_being_opened_is_told_as_well(tmp_path: Path) -> None:
    said, files = list[str](), TunnelFiles(tmp_path / "tunnel")
    (tmp_path / "policy.toml").write_text("version = 1")
    rules = parse(POLICY.encode()).rules
    files.keep_state(
        State(HOST, "a", "z", "example.com", "acme", "access", ("aud",), told=told(rules, "access"))
    )
    look = reloads_told(PolicyFile(tmp_path / "policy.toml", lambda: AT), files, said.append)
    look()
    look()
    assert len(said) == 1


@pytest.mark.parametrize(
    ("ttl", "end", "length"),
    [
        (2 * HOUR, "2026-11-29 18:42:00", "2h"),
        (90 * 60, "2026-11-29 18:12:00", "90m"),
        (7 * 24 * HOUR, "2026-12-06 16:42:00", "7d"),
        (30, "2026-11-29 16:42:30", "30s"),
    ],
)
def test_whoever_opens_it_for_a_while_reads_until_when(ttl: float, end: str, length: str) -> None:
    zone = datetime.fromtimestamp(AT + ttl).astimezone().tzname()
    said = welcome("https://brain.example.com", intended(), EMPTY, AT, until(ttl, AT))
    assert f"OPEN: https://brain.example.com/mcp until {end} {zone} ({length})\n" in said


def test_without_an_end_none_is_said() -> None:
    said = welcome("https://brain.example.com", intended(), EMPTY, AT)
    assert "OPEN: https://brain.example.com/mcp\n" in said

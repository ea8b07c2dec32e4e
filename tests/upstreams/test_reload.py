"""upstreams.toml is changed while the server runs."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from app.simulator import Team
from tests.audit.tables import lines_in
from tests.audit.waiting import until as until_true
from tests.gate.wire import text_of
from tests.house import Clock

from .conftest import RAW, Upstreamed, until, upstreamed
from .raw import RawHttp

POLICY = """
version = 1
[scopes.all]
tools = ["one_*", "two_*"]
[lan]
scopes = ["all"]
"""


def entry(name: str, folder: Path, more: str = "") -> str:
    return f'[upstream.{name}]\ncommand = ["{sys.executable}", "-S", "{RAW}", "{folder}"]\n{more}\n'


def processes(house: Upstreamed) -> list[int]:
    """Of the raw server, oldest first."""
    lines = map(json.loads, house.raw.read("record").splitlines())
    return [line["started"] for line in lines if "started" in line]


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def write(house: Upstreamed, *entries: str) -> None:
    (house.folder / "upstreams.toml").write_text("version = 1\n" + "\n".join(entries))


async def has(house: Upstreamed, *names: str) -> bool:
    listed = await house.caller("lan").names("tool")
    return {name.partition("_")[0] for name in listed if name.endswith("_echo")} == set(names)


async def echoes(house: Upstreamed, name: str) -> bool:
    answer = await house.call(f"{name}_echo", "lan", text="x")
    return text_of(answer) == "x"


async def reloads(house: Upstreamed, many: int) -> list[str]:
    """What the audit log says of them, once there are so many."""

    def decisions() -> list[str]:
        found = lines_in(house.folder / "brain.db", "operation = 'upstreams/reload'")
        return [line["decision"] for line in found]

    await until_true(lambda: len(decisions()) >= many)
    return decisions()


async def test_one_that_is_added_is_there_and_one_that_is_taken_out_is_gone_while_others_go_on(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    one, two = entry("one", tmp_path / "raw"), entry("two", tmp_path / "raw")
    async with upstreamed(tmp_path, clock, team, lambda *_: "version = 1\n" + one, policy=POLICY) as house:
        await until(lambda: echoes(house, "one"))
        write(house, one, two)
        await until(lambda: has(house, "one", "two"))
        await until(lambda: echoes(house, "two"))
        first, second = processes(house)
        write(house, two)
        await until(lambda: has(house, "two"))
        assert "you may use here" in text_of(await house.call("one_echo", "lan", text="x"))
        assert await echoes(house, "two")

        async def has_ended() -> bool:
            return is_gone(first)

        await until(has_ended)
        assert processes(house) == [first, second]
        assert await reloads(house, 2) == ["allow", "allow"]
        metrics = (await house.house.lan_request("GET", "/metrics")).text
        assert 'brain_upstream_up{upstream="two"} 1.0' in metrics
        assert 'upstream="one"' not in metrics


async def test_a_changed_entry_is_started_anew_and_only_that(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    one, two = entry("one", tmp_path / "raw"), entry("two", tmp_path / "raw")
    text = "version = 1\n" + one + two
    async with upstreamed(tmp_path, clock, team, lambda *_: text, policy=POLICY) as house:
        await until(lambda: echoes(house, "one"))
        await until(lambda: echoes(house, "two"))
        before = processes(house)
        write(house, entry("one", tmp_path / "raw", 'env = { GIVEN = "now" }'), two)

        async def is_anew() -> bool:
            return "now" in text_of(await house.call("one_seen", "lan"))

        await until(is_anew)
        assert await echoes(house, "two")
        after = processes(house)
        assert len(after) == 3
        assert sum(is_gone(process) for process in before) == 1


async def test_a_file_that_cannot_be_used_changes_nothing_and_is_told(
    tmp_path: Path, clock: Clock, team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    text = "version = 1\n" + entry("one", tmp_path / "raw")
    async with upstreamed(tmp_path, clock, team, lambda *_: text, policy=POLICY) as house:
        await until(lambda: echoes(house, "one"))

        async def is_told() -> bool:
            return "THE UPSTREAMS STAY AS THEY WERE" in caplog.text

        write(house, "[upstream.one]\ncomand = []\n")
        await until(is_told)
        assert await echoes(house, "one")
        caplog.clear()
        (tmp_path / "upstreams.toml").unlink()
        await until(is_told)
        assert "the file is gone" in caplog.text
        assert await echoes(house, "one")
        assert len(processes(house)) == 1
        assert await reloads(house, 2) == ["refuse", "refuse"]


async def test_one_that_does_not_let_go_keeps_nobody(tmp_path: Path, clock: Clock, team: Team) -> None:
    """It goes on answering to the end of its session; neither a change nor the end of the server waits."""

    def lingers(_: Path, web: RawHttp) -> str:
        return f'version = 1\n[upstream.one]\nurl = "http://127.0.0.1:{web.port}/mcp"\n'

    async with asyncio.timeout(20):
        async with upstreamed(tmp_path, clock, team, lingers, policy=POLICY, mode="legacy lingers") as house:
            await until(lambda: echoes(house, "one"))
            assert house.web is not None
            both = lingers(tmp_path, house.web) + entry("two", tmp_path / "raw")
            (tmp_path / "upstreams.toml").write_text(both.replace("upstream.one", "upstream.three"))
            await until(lambda: echoes(house, "two"))


async def test_what_counts_after_a_restart_alone_is_said(
    tmp_path: Path, clock: Clock, team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    async with upstreamed(tmp_path, clock, team, lambda *_: "version = 1\n", policy=POLICY) as house:
        write(house, "brain = false\n", entry("one", tmp_path / "raw", "tell_caller = true"))
        await until(lambda: echoes(house, "one"))
        assert "brain = false counts after a restart" in caplog.text
        assert "tell_caller, of the first that is told, counts after a restart" in caplog.text

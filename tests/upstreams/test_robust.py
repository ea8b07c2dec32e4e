"""One bad upstream hurts nobody: it hangs, dies, floods, garbles, drips, and comes back by itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from app.simulator import Team
from tests.gate.wire import text_of
from tests.house import Clock

from .conftest import Upstreamed, raw_entry, until, upstreamed

MISBEHAVIOURS = ("hang", "garble", "oversize", "flood", "drip")
AT_ONCE = 0.2  # seconds; a list, or a call of one that is known to be dead


async def others_work(one: Upstreamed) -> None:
    """The Brain's own tools, and the lists, which come from memory."""
    took = []
    for _ in range(3):  # the best of three: the machine may be busy, we must not be
        assert "error" not in await one.call("whoami")
        began = time.monotonic()
        assert "up_echo" in await one.caller().names("tool")
        took.append(time.monotonic() - began)
    assert min(took) < AT_ONCE


@pytest.mark.parametrize("mode", MISBEHAVIOURS)
async def test_it_misbehaves_and_recovers_by_itself(raw_house: Upstreamed, mode: str) -> None:
    assert await raw_house.echoes()
    raw_house.mode(mode)
    for _ in range(4):
        answer = await raw_house.call("up_echo", text="x")
        assert answer["result"]["isError"], answer
        assert "upstream `up`" in text_of(answer)
        await others_work(raw_house)
    raw_house.mode("")
    await until(raw_house.echoes)


async def test_a_call_of_a_dead_one_fails_at_once_and_says_why(raw_house: Upstreamed) -> None:
    assert await raw_house.echoes()
    raw_house.mode("hang")

    async def is_left_alone() -> bool:
        began = time.monotonic()
        said = text_of(await raw_house.call("up_echo", text="x"))
        return "does not answer at the moment" in said and time.monotonic() - began < AT_ONCE

    await until(is_left_alone)
    await others_work(raw_house)
    raw_house.mode("")
    await until(raw_house.echoes)


LEAVING = """
import sys
from fastmcp import FastMCP
mcp = FastMCP("leaving")

@mcp.tool
def at_once() -> str:
    sys.exit(3)

@mcp.tool
async def later() -> str:
    sys.exit("bye")

@mcp.tool
def echo(text: str) -> str:
    return text
"""


async def test_a_file_of_the_operator_that_calls_sys_exit_ends_its_call_and_not_the_server(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    (tmp_path / "leaving.py").write_text(LEAVING)
    (tmp_path / "gone.py").write_text("import sys\nsys.exit(1)\n")
    files = {"up": "leaving.py:mcp", "gone": "gone.py:mcp"}
    text = "version = 1\n" + "".join(f'[upstream.{name}]\npython = "{to}"\n' for name, to in files.items())
    async with upstreamed(tmp_path, clock, team, lambda *_: text) as house:
        for tool in ("up_at_once", "up_later"):
            answer = await house.call(tool)
            assert answer["result"]["isError"]
            assert "sys.exit" in text_of(answer)
        assert await house.echoes()


@pytest.mark.parametrize("mode", ["", "legacy"])
async def test_an_answer_that_is_too_large_is_the_matter_of_its_caller_alone(
    raw_house: Upstreamed, mode: str
) -> None:
    raw_house.mode(mode)
    assert await raw_house.echoes()
    (raw_house.raw.path / "say").write_text("x" * 6_000_000)
    for _ in range(5):
        too_large, echoed = await asyncio.gather(raw_house.call("up_say"), raw_house.echoes())
        assert "a larger answer than its entry allows (`max_result_kb` is 4096)" in text_of(too_large)
        assert echoed
    assert raw_house.raw.read("record").count('"started"') <= 1


@pytest.mark.parametrize("mode", ["", "legacy"])
@pytest.mark.parametrize("code", [-32000, -32001, -32094, -32095, -32096, -32097, -32700])
async def test_whatever_code_it_refuses_with_it_is_not_taken_for_silence(
    raw_house: Upstreamed, code: int, mode: str
) -> None:
    raw_house.mode(mode)
    for _ in range(4):
        assert "not on Sundays" in text_of(await raw_house.call("up_refuse", code=code))
    assert await raw_house.echoes()


async def test_one_that_ends_over_a_first_message_it_does_not_know_is_asked_as_it_knows_it(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with upstreamed(tmp_path, clock, team, command, mode="strict legacy") as house:
        assert await house.echoes()
        assert house.raw.read("record").count('"started"') == 2


def process_of(house: Upstreamed) -> int:
    """The newest process of the raw server."""
    lines = house.raw.read("record").splitlines()
    return int([json.loads(line) for line in lines if "started" in line][-1]["started"])


def command(folder: Path, web: Any) -> str:
    return raw_entry("command", folder, web, "timeout = 1")


async def test_a_process_that_is_killed_is_started_again(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with upstreamed(tmp_path, clock, team, command) as house:
        assert await house.echoes()
        first = process_of(house)
        os.kill(first, signal.SIGKILL)

        async def says_so() -> bool:
            return "its process ended by signal 9" in text_of(await house.call("up_echo", text="x"))

        await until(says_so, 5)
        await others_work(house)
        await until(house.echoes)
        assert process_of(house) != first


async def test_the_metrics_tell_which_upstream_answers(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with upstreamed(tmp_path, clock, team, command) as house:

        async def shown() -> bool:
            text = (await house.house.lan_request(path="/metrics")).text
            return 'brain_upstream_up{upstream="up"} 1.0' in text

        assert await house.echoes()
        assert await shown()
        assert (
            'brain_upstream_calls{upstream="up"} 0.0' in (await house.house.lan_request(path="/metrics")).text
        )
        os.kill(process_of(house), signal.SIGKILL)

        async def gone() -> bool:
            return not await shown()

        await until(gone, 5)
        await until(shown)


async def test_a_process_that_ends_in_a_call_is_started_again(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with upstreamed(tmp_path, clock, team, command) as house:
        assert await house.echoes()
        house.mode("die")
        assert "its process ended with exit code 3" in text_of(await house.call("up_echo", text="x"))
        house.mode("")
        await until(house.echoes)


async def test_a_process_that_stands_still_is_ended_and_started_again(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with upstreamed(tmp_path, clock, team, command) as house:
        assert await house.echoes()
        first = process_of(house)
        os.kill(first, signal.SIGSTOP)
        assert "did not answer within 1 seconds" in text_of(await house.call("up_echo", text="x"))
        for _ in range(2):
            await house.call("up_echo", text="x")
        await until(house.echoes)
        assert not alive(first)


async def test_no_process_is_left_when_we_end(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with upstreamed(tmp_path, clock, team, command) as house:
        assert await house.echoes()
        first = process_of(house)
        house.mode("hang")  # it does not even end with its input
    assert not alive(first)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_a_server_that_was_started_anew_is_used_again(tmp_path: Path, clock: Clock, team: Team) -> None:
    entries = lambda folder, web: raw_entry("url", folder, web, "timeout = 1")  # noqa: E731
    async with upstreamed(tmp_path, clock, team, entries) as house:
        assert house.web is not None
        assert await house.echoes()
        await house.web.kill()
        for _ in range(4):
            assert (await house.call("up_echo", text="x"))["result"]["isError"]
        await others_work(house)
        await house.web.start()
        await until(house.echoes)
        house.mode("status")
        assert "it answers HTTP 503" in text_of(await house.call("up_echo", text="x"))


MISBEHAVES = """
import asyncio
from fastmcp import FastMCP

mcp = FastMCP("own")

@mcp.tool
async def echo(text: str) -> str:
    return text

@mcp.tool
async def hang() -> str:
    await asyncio.sleep(3600)
    return "never"

@mcp.tool
async def large() -> str:
    return "x" * 9_000_000

@mcp.tool
async def breaks() -> str:
    raise RuntimeError("inside")
"""


async def test_a_file_in_this_process_hurts_nobody_either(tmp_path: Path, clock: Clock, team: Team) -> None:
    (tmp_path / "own.py").write_text(MISBEHAVES)
    entries = lambda folder, web: 'version = 1\n[upstream.up]\npython = "own.py:mcp"\ntimeout = 1\n'  # noqa: E731
    async with upstreamed(tmp_path, clock, team, entries) as house:
        for tool, said in (
            ("hang", "did not answer within 1 seconds"),
            ("large", "a larger answer than its entry allows"),
            ("breaks", "breaks"),
        ):
            assert said in text_of(await house.call(f"up_{tool}"))
            await others_work(house)
            assert await house.echoes()


async def test_a_file_that_cannot_be_loaded_says_so_and_the_server_starts(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    (tmp_path / "own.py").write_text("this is not Python")
    entries = lambda folder, web: 'version = 1\n[upstream.up]\npython = "own.py:mcp"\n'  # noqa: E731
    async with upstreamed(tmp_path, clock, team, entries) as house:
        assert "result" in await house.call("whoami")
        (tmp_path / "own.py").write_text(MISBEHAVES)
        await until(house.echoes)


async def test_a_call_beyond_its_places_waits_and_one_of_another_does_not(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    (tmp_path / "own.py").write_text(MISBEHAVES)

    def entries(folder: Path, web: Any) -> str:
        slow = 'python = "own.py:mcp"\ntimeout = 2\nconcurrency = 1'
        return f'version = 1\n[upstream.slow]\n{slow}\n[upstream.up]\npython = "own.py:mcp"\n'

    policy = (
        "version = 1\n[scopes.a]\ntools = ['up_*', 'slow_*']\n[[rule]]\nany_person = true\nscopes = ['a']\n"
    )
    async with upstreamed(tmp_path, clock, team, entries, policy=policy) as house:
        hanging = asyncio.create_task(house.call("slow_hang"))

        async def inside() -> bool:
            return house.house.house.upstreams()[0].calls == 1

        await until(inside)
        waiting = asyncio.create_task(house.call("slow_echo", text="x"))
        assert await house.echoes()
        assert not waiting.done()
        assert "did not answer" in text_of(await hanging)
        assert text_of(await waiting) == "x"

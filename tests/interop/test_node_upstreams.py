"""A server of the TypeScript SDK behind the doors: one that keeps sessions, as most of them over HTTP do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.simulator import Team
from tests.gate.wire import text_of
from tests.house import Clock
from tests.nodejs import installed, node
from tests.upstreams.conftest import until, upstreamed

from .node_clients import HERE

Entries = Callable[..., str]
CODES = (-32000, -32001, -32700)  # "connection closed", "timeout", "parse error"

pytestmark = pytest.mark.skipif(
    not installed(HERE), reason="needs npm, once: python -m tests.interop installs the clients"
)


@contextlib.asynccontextmanager
async def sessions(port: int, status: int) -> AsyncIterator[None]:
    """It runs, and is killed at the end: its sessions are gone."""
    words = (str(HERE / "sessions.mjs"), str(port), str(status))
    process = await asyncio.create_subprocess_exec(node(HERE), *words, stdout=PIPE)
    assert process.stdout is not None
    try:
        assert await process.stdout.readline() == b"listening\n"
        yield
    finally:
        process.kill()
        await process.wait()


@pytest.fixture
def port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def entries(port: int) -> Entries:
    return lambda *_: f'version = 1\n[upstream.up]\nurl = "http://127.0.0.1:{port}/mcp"\n'


async def test_a_code_that_the_sdk_has_another_meaning_for_is_its_own_refusal(
    tmp_path: Path, clock: Clock, team: Team, port: int, entries: Entries
) -> None:
    async with sessions(port, 400), upstreamed(tmp_path, clock, team, entries) as house:
        await until(house.echoes)
        for code in CODES:
            for _ in range(4):
                assert "not on Sundays" in text_of(await house.call("up_refuse", code=code))
            assert await house.echoes()


@pytest.mark.parametrize("status", [400, 404])
async def test_started_anew_it_is_reached_again_with_the_next_call(
    tmp_path: Path, clock: Clock, team: Team, port: int, entries: Entries, status: int
) -> None:
    async with contextlib.AsyncExitStack() as running, contextlib.AsyncExitStack() as first:
        await first.enter_async_context(sessions(port, status))
        house = await running.enter_async_context(upstreamed(tmp_path, clock, team, entries))
        await until(house.echoes)
        await first.aclose()
        await running.enter_async_context(sessions(port, status))
        assert "it was started anew" in text_of(await house.call("up_echo", text="x"))
        await until(house.echoes)

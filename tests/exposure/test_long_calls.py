"""Calls that take longer than the edge waits for a word: through a real cloudflared, in every protocol era.

The stand-in edge waits 16 s here, so one sign of life after 15 s is enough; `SLOW=1` makes it the real 120 s,
and the call 130 s long.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.audit.waiting import until

from .world import HOST, OWNER, URL, World, needs_cloudflared, up, world

SLOW = "SLOW" in os.environ
IDLE, LONG = (120, 130) if SLOW else (16, 18)
POLICY = f"""
version = 1
[scopes.slow]
tools = ["slow_*"]
[[rule]]
name = "owner"
emails = ["{OWNER}"]
scopes = ["mcp:tools:write", "slow"]
"""
pytestmark = needs_cloudflared


@pytest.fixture
async def internet(tmp_path: Path) -> AsyncIterator[World]:
    async with world(tmp_path, "--idle", str(IDLE)) as opened:
        data = tmp_path / "data"
        data.mkdir()
        (data / "policy.toml").write_text(POLICY)
        slow = Path(__file__).with_name("slow.py")
        (data / "upstreams.toml").write_text(
            f'version = 1\n[upstream.slow]\npython = "{slow}:mcp"\ntimeout = 300\n'
        )
        yield opened


async def test_a_call_that_is_longer_than_the_edge_waits_gets_its_answer(internet: World) -> None:
    async with up(internet, "--hostname", HOST) as running:
        await running.said(f"OPEN: {URL}")
        answers = await asyncio.gather(
            *(internet.thinks(LONG, internet.folder / era, era=era) for era in ("auto", "legacy"))
        )
        assert answers == ["thought", "thought"]
        assert await running.stop() == 0


async def test_a_client_that_goes_away_stops_the_tool(internet: World) -> None:
    note = internet.folder / "note"
    async with up(internet, "--hostname", HOST) as running:
        await running.said(f"OPEN: {URL}")
        asking = asyncio.create_task(internet.thinks(100, note, era="auto"))
        await until(note.exists, seconds=30)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await until(lambda: note.read_text() == "stopped", seconds=10)
        assert await running.stop() == 0

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.simulator import Team
from tests.gate.wire import VERSIONS, Caller
from tests.house import Clock, TestHouse, in_one_task, open_house

from .raw import Folder, RawHttp

HERE = Path(__file__).parent
PLAIN, RAW = HERE / "plain.py", HERE / "raw.py"
ALICE, BOB = "alice@example.com", "bob@example.com"
POLICY = """
version = 1
[scopes."up:read"]
tools = ["up_echo", "up_count"]
[scopes."up:all"]
tools = ["up_*"]
resources = ["data://up/*", "item://up/{number}"]
prompts = ["up_*"]
[lan]
scopes = ["*"]
[[rule]]
name = "writers"
emails = ["alice@example.com"]
scopes = ["mcp:tools:write", "up:all"]
[[rule]]
name = "readers"
emails = ["bob@example.com"]
scopes = ["mcp:tools:read", "up:read"]
"""


@dataclass
class Upstreamed:
    """A house with upstreams. `folder`: of the house; `raw`: what a raw server is told."""

    house: TestHouse
    folder: Path
    raw: Folder
    web: RawHttp | None = None
    number: int = field(default=0, init=False)

    def caller(self, who: str = ALICE, version: str = VERSIONS[-1]) -> Caller:
        if who == "lan":
            return Caller(self.house, version, None)
        return Caller(self.house, version, self.house.team.token(who))

    def mode(self, words: str) -> None:
        (self.raw.path / "mode").write_text(words)

    async def call(self, tool: str, who: str = ALICE, **arguments: Any) -> dict[str, Any]:
        return await self.caller(who).call(tool, **arguments)

    async def echoes(self, prefix: str = "up_") -> bool:
        """Whether it answers, and with the right words."""
        self.number += 1
        words = f"word {self.number}"
        answer = (await self.call(f"{prefix}echo", text=words))["result"]
        return not answer.get("isError") and answer["content"][0]["text"] == words


async def until(true: Callable[[], Awaitable[bool]], seconds: float = 40.0) -> float:
    """Seconds that it took."""
    began = time.monotonic()
    while not await true():
        assert time.monotonic() - began < seconds, "it never came to be"
        await asyncio.sleep(0.05)
    return time.monotonic() - began


def raw_entry(kind: str, folder: Path, web: RawHttp | None, *more: str) -> str:
    to = (
        f'command = ["{sys.executable}", "-S", "{RAW}", "{folder}"]'
        if kind == "command" or web is None
        else f'url = "http://127.0.0.1:{web.port}/mcp"'
    )
    return "\n".join(["version = 1", "[upstream.up]", to, *more])


@contextlib.asynccontextmanager
async def upstreamed(
    folder: Path,
    clock: Clock,
    team: Team,
    entries: Callable[[Path, RawHttp], str],
    *,
    policy: str = POLICY,
    mode: str = "",
    **variables: Any,
) -> AsyncIterator[Upstreamed]:
    """`entries`: the text of upstreams.toml, of the raw server's folder and of the raw server over HTTP."""
    raw = Folder(folder / "raw")
    raw.path.mkdir(exist_ok=True)
    (raw.path / "mode").write_text(mode)
    web = RawHttp(raw)
    await web.start()
    (folder / "upstreams.toml").write_text(entries(raw.path, web))
    try:
        async with in_one_task(open_house(folder, clock, team, policy=policy, **variables)) as house:
            yield Upstreamed(house, folder, raw, web)
    finally:
        await web.kill()


@pytest.fixture(params=["command", "url"])
async def raw_house(
    request: pytest.FixtureRequest, tmp_path: Path, clock: Clock, team: Team
) -> AsyncIterator[Upstreamed]:
    """One upstream `up` that misbehaves when told to, as a process and over HTTP; calls last a second."""
    entries = lambda folder, web: raw_entry(request.param, folder, web, "timeout = 1")  # noqa: E731
    async with upstreamed(tmp_path, clock, team, entries) as opened:
        yield opened

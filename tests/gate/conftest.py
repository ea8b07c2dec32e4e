from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from app.simulator import SigningKey
from tests.house import Clock, TestHouse, in_one_task, new_team, open_house

from .everything import everything, remember_completions
from .wire import Caller

ALICE = "alice@example.com"
STRANGER = Path(__file__).parent / "stranger.py"


@dataclass
class Everything:
    """A house with a little of everything in it, and an upstream `up` with the same.

    `ran`: what has run, in order; `strangers`: what of it the upstream ran.
    """

    house: TestHouse
    ran: list[str]
    strangers: list[str]

    def caller(self, version: str, door: str = "tunnel", who: str = ALICE) -> Caller:
        if door == "lan":
            return Caller(self.house, version, None)
        team = self.house.team
        return Caller(self.house, version, team.token(who) if "@" in who else team.service_token(who))

    def policy(self, *parts: str) -> None:
        self.ran.clear()
        self.strangers.clear()
        self.house.write_policy("version = 1\n" + "\n".join(parts))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def all_of_it(
    tmp_path_factory: pytest.TempPathFactory, signing_keys: tuple[SigningKey, ...]
) -> AsyncIterator[Everything]:
    """One house for a whole file: each test begins with a policy of its own."""
    mcp, ran = everything()
    clock = Clock()
    team = new_team(clock, (signing_keys[0], signing_keys[1]))
    folder = tmp_path_factory.mktemp("house")
    (folder / "upstreams.toml").write_text(f'version = 1\n[upstream.up]\npython = "{STRANGER}:mcp"\n')
    async with in_one_task(open_house(folder, clock, team, mcp=mcp)) as house:
        remember_completions(mcp, ran)
        yield Everything(house, ran, sys.modules["brain_upstream_up"].RAN)

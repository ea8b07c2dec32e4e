from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.simulator import SigningKey, Team
from app.simulator.server import LoopbackServer, address, listen
from tests.house import Clock, TestHouse, in_one_task, new_team, open_house
from tests.simulator.internet import account as account
from tests.simulator.internet import client as client
from tests.simulator.internet import world as world
from tests.simulator.origin import Origin

from .cloudflared import BINARY, WHY_NOT


def pytest_runtest_setup() -> None:
    """Before any fixture; from one place, so that all that is skipped is one line of the summary."""
    if not BINARY:
        pytest.skip(WHY_NOT)


class RealClock(Clock):
    """cloudflared looks at the machine's clock, so here everybody does."""

    def __call__(self) -> float:
        return time.time()


@pytest.fixture
def clock() -> Clock:
    return RealClock()


@pytest.fixture
def team(clock: Clock, signing_keys: tuple[SigningKey, SigningKey, SigningKey]) -> Team:
    return new_team(clock, signing_keys[:2])


@pytest.fixture
async def origin() -> AsyncIterator[tuple[Origin, str]]:
    app, bound = Origin(), listen("127.0.0.1", 0)
    server = await LoopbackServer.start(app, bound)
    yield app, f"http://{address(bound)}"
    app.script.put_nowait(None)
    await server.stop()


@pytest.fixture
async def house(tmp_path: Path, clock: Clock, team: Team) -> AsyncIterator[TestHouse]:
    folder = tmp_path / "house"
    folder.mkdir()
    async with in_one_task(open_house(folder, clock, team)) as opened:
        yield opened

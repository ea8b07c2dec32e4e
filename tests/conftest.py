from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.simulator import SigningKey, Team

from .house import Clock, TestHouse, in_one_task, new_team, open_house

_ENVIRON = dict(os.environ)


@pytest.fixture(autouse=True)
def environ_of_the_start() -> None:
    """A server in this process forgets the variables of its settings; the next test has them again."""
    os.environ.update(_ENVIRON)


@pytest.fixture(scope="session")
def signing_keys() -> tuple[SigningKey, SigningKey, SigningKey]:
    """Made once: a 2048-bit key takes a tenth of a second."""
    return SigningKey.generate(), SigningKey.generate(), SigningKey.generate()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def team(clock: Clock, signing_keys: tuple[SigningKey, SigningKey, SigningKey]) -> Team:
    return new_team(clock, signing_keys[:2])


@pytest.fixture
async def house(tmp_path: Path, clock: Clock, team: Team) -> AsyncIterator[TestHouse]:
    async with in_one_task(open_house(tmp_path, clock, team)) as opened:
        yield opened

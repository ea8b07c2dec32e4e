from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app.simulator import SigningKey
from tests.house import Clock, TestHouse, in_one_task, new_team, open_house


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def standing(
    tmp_path_factory: pytest.TempPathFactory, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> AsyncIterator[TestHouse]:
    """One house for a whole module, for tests that change nothing in it (and run in the module's loop)."""
    clock = Clock()
    folder = tmp_path_factory.mktemp("standing")
    async with in_one_task(open_house(folder, clock, new_team(clock, signing_keys[:2]))) as house:
        yield house

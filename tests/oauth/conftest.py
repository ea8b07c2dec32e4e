from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.simulator import SigningKey
from app.store.schema import ensure_schema
from tests.house import Clock, in_one_task, new_team

from . import holders
from .desk import Desk, opened
from .holders import Holders
from .target import Target, aimed_at


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Migrated once, copied for each test."""
    file = tmp_path_factory.mktemp("oauth") / "empty.db"
    ensure_schema(file)
    return file


@pytest.fixture
async def desk(tmp_path: Path, empty_database: Path) -> AsyncIterator[Desk]:
    shutil.copy(empty_database, tmp_path / "brain.db")
    async with opened(tmp_path / "brain.db") as desk:
        yield desk


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def at_home(
    tmp_path_factory: pytest.TempPathFactory, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> AsyncIterator[Holders]:
    """One house for a whole module, whose tests run in the module's loop and leave it as it was."""
    clock = Clock()
    team = new_team(clock, signing_keys[:2])
    opened = holders.opened(tmp_path_factory.mktemp("holders"), clock, team)
    async with in_one_task(opened) as home:
        yield home


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target(
    tmp_path_factory: pytest.TempPathFactory, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> AsyncIterator[Target]:
    """One for a whole module, whose tests run in the module's loop."""
    async with in_one_task(aimed_at(tmp_path_factory.mktemp("fuzzed"), signing_keys[:2])) as target:
        yield target

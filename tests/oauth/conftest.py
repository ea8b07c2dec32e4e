from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.store.schema import ensure_schema

from .desk import Desk, opened


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

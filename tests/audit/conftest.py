"""An audit log in a database of its own, without a server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.store.audit import SqlAudit
from app.store.open import Store, open_store
from tests.house import Clock

from .chains import AT, KEY, event


def no_ids() -> str:
    raise RuntimeError("no notes here")


@dataclass
class Log:
    """`audit` and the file that it writes to."""

    store: Store
    audit: SqlAudit

    @property
    def file(self) -> Path:
        return self.store.database.path

    async def add(self, number: int = 1, *, at: int = AT, name: str = "search", **more: Any) -> None:
        await self.audit.append([(at, event(name, **more)) for _ in range(number)])

    async def seqs(self) -> list[int]:
        return [record.seq async for record in self.audit.records()]


@pytest.fixture
async def log(tmp_path: Path, clock: Clock) -> AsyncIterator[Log]:
    store = await open_store(tmp_path / "brain.db", now=clock, new_id=no_ids)
    yield Log(store, SqlAudit(store.database, KEY))
    await store.close()

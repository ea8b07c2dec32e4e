"""Our server passes every probe, and the page that compares says what was measured."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from app.simulator import SigningKey
from tests.house import in_one_task

from .every import asked, every
from .report import PAGE, compared, read
from .targets import Served, ours

KEYS = tuple[SigningKey, SigningKey, SigningKey]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def brain(tmp_path_factory: pytest.TempPathFactory, signing_keys: KEYS) -> AsyncIterator[Served]:
    async with in_one_task(ours(tmp_path_factory.mktemp("probes"), signing_keys[:2])) as served:
        yield served


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", every())
async def test_ours_passes(brain: Served, name: str) -> None:
    assert await asked(brain, name) is None


def test_the_page_says_what_was_measured() -> None:
    found = read()
    assert found["servers"][0]["failed"] == {}
    assert sorted(found["probes"]) == sorted(every())
    assert PAGE.read_text().endswith(compared(found))

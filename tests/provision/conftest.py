from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from .desk import Desk
from .desk import desk as open_desk


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened

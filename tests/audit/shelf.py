"""Where a test keeps audit records."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from app.audit.events import Event
from app.errors import AppError


class Shelf:
    """An audit store whose disk can be pulled out. `steps`: how many records each transaction had."""

    def __init__(self) -> None:
        self.kept: list[str] = []
        self.steps: list[int] = []
        self.broken: Exception | None = None

    async def append(self, stamped: Sequence[tuple[int, Event]]) -> None:
        await asyncio.sleep(0)
        if self.broken:
            raise self.broken
        self.kept += [event.name for _, event in stamped]
        self.steps.append(len(stamped))

    async def join(self, connection: Any, stamped: Sequence[tuple[int, Event]]) -> None:
        await self.append(stamped)


class Broken(AppError):
    status = 503

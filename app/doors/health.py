"""Whether the server lives, whether it can work, and what it counts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from app.doors.paths import Answer, as_json
from app.errors import AppError


async def healthz() -> Answer:
    return as_json(200, {"status": "ok"})


def readyz(ask: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[Answer]]:
    """503 while `ask` (the database) raises."""

    async def answer() -> Answer:
        try:
            await ask()
        except AppError as problem:
            return as_json(503, {"status": problem.public})
        return as_json(200, {"status": "ready"})

    return answer


def metrics(text: Callable[[], bytes]) -> Callable[[], Awaitable[Answer]]:
    async def answer() -> Answer:
        return 200, "text/plain; version=0.0.4; charset=utf-8", text()

    return answer

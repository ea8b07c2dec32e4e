"""Things broken on purpose, each by one function: a table, in which a row is written where it is read."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Place = TypeVar("Place")
Spoil = Callable[[Place], AsyncIterator[None]]


@dataclass(frozen=True)
class Breakage(Generic[Place]):
    """`failed`: the checks that fail, and no others."""

    name: str
    spoil: Callable[[Place], contextlib.AbstractAsyncContextManager[None]]
    failed: tuple[str, ...]


@dataclass
class Breakages(Generic[Place]):
    """`@breaks("disk")` adds the function: up to its `yield` it breaks, behind it it lets go."""

    all: list[Breakage[Place]] = field(default_factory=list)

    def __call__(self, *failed: str) -> Callable[[Spoil[Place]], Spoil[Place]]:
        def add(spoil: Spoil[Place]) -> Spoil[Place]:
            name = spoil.__name__.replace("_", "-")
            self.all.append(Breakage(name, contextlib.asynccontextmanager(spoil), failed))
            return spoil

        return add

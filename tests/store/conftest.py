"""A store in a file of its own, a clock that stands until it is moved, and ids that count."""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from app.cli import backup
from app.notes.ids import uuid7
from app.notes.models import Caller, Spaces
from app.store.notes import SqlNotes
from app.store.open import Store, open_store

LAN = Caller("lan", None, Spaces(every=True))
ALICE = Caller("alice@example.com", "~alice@example.com", Spaces(names=frozenset({"main", "~"})), "claude")
BOB = Caller("bob@example.com", "~bob@example.com", Spaces(shared=True))
NOBODY = Caller("eve@example.com", "~eve@example.com", Spaces())


@dataclass
class Clock:
    at: float = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at


def counting_ids() -> Callable[[], str]:
    numbers = count(1)
    return lambda: uuid7(next(numbers), bytes(10))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "brain.db"


@pytest.fixture
async def opened(file: Path, clock: Clock) -> AsyncIterator[Store]:
    store = await open_store(file, now=clock, new_id=counting_ids())
    yield store
    await store.close()


@pytest.fixture
def store(opened: Store) -> SqlNotes:
    return opened.notes


@dataclass(frozen=True)
class Where:
    data_dir: Path
    database_url: str


@pytest.fixture
def brain(file: Path) -> Callable[..., int]:
    """`brain backup` and `brain restore` on `file`; their exit code."""
    parser = argparse.ArgumentParser()
    backup.register(parser.add_subparsers())

    def run(*words: str | Path) -> int:
        args = parser.parse_args([str(word) for word in words])
        return int(args.run(args, Where(file.parent, f"sqlite:///{file}")))

    return run

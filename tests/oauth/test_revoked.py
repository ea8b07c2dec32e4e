"""What was revoked counts with the very next check, in every process."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from app.store.engine import StoreUnusable
from app.store.revocations import SqlRevocations
from tests.house import Clock


def change(file: Path, sql: str, *values: object) -> None:
    """As another process does it."""
    with closing(sqlite3.connect(file)) as other, other:
        other.execute(sql, values)


ADD = "INSERT INTO oauth_revocations (grant_id, jti, until) VALUES (?, ?, ?)"


@pytest.fixture
def revocations(desk_file: Path) -> Iterator[SqlRevocations]:
    opened = SqlRevocations(desk_file, Clock())
    yield opened
    opened.close()


@pytest.fixture
def desk_file(tmp_path: Path, empty_database: Path) -> Path:
    file = tmp_path / "brain.db"
    file.write_bytes(empty_database.read_bytes())
    change(file, "PRAGMA journal_mode=WAL")
    return file


def test_M14_a_grant_and_a_token(revocations: SqlRevocations, desk_file: Path) -> None:
    until = Clock()() + 900
    assert not revocations.is_revoked(grant_id="g", jti="j")
    change(desk_file, ADD, "g", None, until)
    assert revocations.is_revoked(grant_id="g", jti="other")
    assert not revocations.is_revoked(grant_id="other", jti="g")  # the two do not meet
    change(desk_file, ADD, None, "j", until)
    assert revocations.is_revoked(grant_id="other", jti="j")
    revocations.close()
    assert revocations.is_revoked(grant_id="g", jti="j")


def test_a_number_that_is_used_again_is_noticed(revocations: SqlRevocations, desk_file: Path) -> None:
    """SQLite gives the highest number again once its row is gone."""
    until = Clock()() + 900
    change(desk_file, ADD, "one", None, until)
    assert revocations.is_revoked(grant_id="one", jti="")
    change(desk_file, "DELETE FROM oauth_revocations")
    change(desk_file, ADD, "two", None, until)
    assert revocations.is_revoked(grant_id="two", jti="")
    change(desk_file, "DELETE FROM oauth_revocations")
    assert not revocations.is_revoked(grant_id="two", jti="")


def test_what_is_over_takes_no_room(desk_file: Path) -> None:
    clock = Clock()
    revocations = SqlRevocations(desk_file, clock)
    with closing(sqlite3.connect(desk_file)) as other, other:
        other.executemany(ADD, [(f"g{n}", None, clock() - 1) for n in range(1000)])
    assert not revocations.is_revoked(grant_id="g1", jti="")
    assert len(revocations) == 0
    revocations.close()


def test_a_database_that_does_not_answer_is_no_yes_and_no_no(desk_file: Path) -> None:
    revocations = SqlRevocations(desk_file.with_name("gone.db"), Clock())
    with pytest.raises(StoreUnusable) as unusable:
        revocations.is_revoked(grant_id="g", jti="j")
    assert unusable.value.status == 503


async def test_M14_one_look_is_for_one_turn_of_the_loop(desk_file: Path) -> None:
    revocations, statements = SqlRevocations(desk_file, Clock()), list[str]()
    assert not revocations.is_revoked(grant_id="g", jti="j")
    assert revocations._connection is not None
    revocations._connection.set_trace_callback(statements.append)
    await asyncio.sleep(0)
    for _ in range(3):
        assert not revocations.is_revoked(grant_id="g", jti="j")
    assert len(statements) == 1
    # Committed elsewhere: whatever is read from a socket from now on is of a later turn.
    change(desk_file, ADD, "g", None, Clock()() + 900)
    await asyncio.sleep(0)
    assert revocations.is_revoked(grant_id="g", jti="j")
    revocations.close()

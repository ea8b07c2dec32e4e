"""Transactions whose callers are cancelled in the middle."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from pathlib import Path

from sqlalchemy import text

from app.store.engine import Database
from app.store.open import open_store

ADD = text("INSERT INTO torn (words) VALUES (:words) RETURNING key")
CHANGE = text("UPDATE torn SET words = words || 'y' WHERE key % 3 = 0 RETURNING key, words")


async def test_a_transaction_that_is_torn_anywhere_is_undone_and_lets_the_next_one_in(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "brain.db", now=time.time, new_id=lambda: "")
    database = store.database
    async with database.write() as connection:
        await connection.exec_driver_sql("CREATE TABLE torn (key INTEGER PRIMARY KEY, words TEXT)")
    for steps in range(120):
        task = asyncio.create_task(ten_rows(database))
        for _ in range(steps):
            await asyncio.sleep(0)
        while not task.done():  # as a cancel scope does it
            task.cancel()
            await asyncio.sleep(0)
        async with asyncio.timeout(5):  # SQLite itself waits for 10 s
            await ten_rows(database)
        assert count(tmp_path / "brain.db") % 10 == 0
    await store.close()


async def ten_rows(database: Database) -> None:
    async with database.write() as connection:
        for _ in range(10):
            await connection.execute(ADD, {"words": "x" * 5000})
        await connection.execute(CHANGE)


def count(file: Path) -> int:
    connection = sqlite3.connect(file)
    (rows,) = connection.execute("SELECT count(*) FROM torn").fetchone()
    connection.close()
    return int(rows)

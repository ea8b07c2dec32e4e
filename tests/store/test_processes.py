"""Several processes on one database, one of which may be killed at any moment."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import closing
from pathlib import Path

import pytest

from app.store.backup import back_up, check
from app.store.open import Store, open_store

from .conftest import LAN, Clock, counting_ids

WRITER = Path(__file__).parent / "writer.py"


async def start(file: Path, name: str, number: int) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, str(WRITER), str(file), name, str(number), stdout=PIPE
    )


async def acknowledged(process: Process, number: int) -> list[str]:
    assert process.stdout
    return [(await process.stdout.readline()).decode().strip() for _ in range(number)]


def intact(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("INSERT INTO notes_fts(notes_fts, rank) VALUES('integrity-check', 1)")
        return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


@pytest.mark.parametrize("number", [1, 25])
async def test_every_acknowledged_note_survives_a_kill(file: Path, clock: Clock, number: int) -> None:
    process = await start(file, "doomed", 100_000)
    ids = await acknowledged(process, number)
    process.kill()
    rest, _ = await process.communicate()
    ids += [line.decode() for line in rest.splitlines(keepends=True) if line.endswith(b"\n")]
    store = await open_store(file, now=clock, new_id=counting_ids())
    try:
        notes = [await store.notes.get(LAN, note_id.strip()) for note_id in ids]
    finally:
        await store.close()
    assert [note.title for note in notes] == [f"doomed {n}" for n in range(len(ids))]
    assert all(note.text.endswith("\nappended") for note in notes)
    assert intact(file)


async def test_two_processes_that_start_together_make_one_database_and_both_write(
    file: Path, clock: Clock
) -> None:
    processes = [await start(file, name, 40) for name in ("one", "two")]
    one, two = await asyncio.gather(*(acknowledged(process, 40) for process in processes))
    assert [await process.wait() for process in processes] == [0, 0]
    store = await open_store(file, now=clock, new_id=counting_ids())
    try:
        tags = await store.notes.tags(LAN, None)
    finally:
        await store.close()
    assert len({*one, *two}) == 80
    assert {(tag.name, tag.notes) for tag in tags} == {("one", 40), ("two", 40)}
    assert intact(file)


async def test_a_backup_taken_while_others_write_is_whole(opened: Store, tmp_path: Path) -> None:
    file = opened.database.path
    process = await start(file, "busy", 100_000)
    first = await acknowledged(process, 10)
    copy = await asyncio.to_thread(back_up, file, tmp_path / "copy.db")
    process.kill()
    await process.communicate()
    assert copy.notes >= len(first)
    assert check(tmp_path / "copy.db") == copy
    assert intact(tmp_path / "copy.db")

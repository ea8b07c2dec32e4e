"""The audit log as its tables, for those who read it beside the server or do something to it."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from app.store.audit import record_of

Line = dict[str, Any]


def change(file: Path, *statements: str) -> None:
    with closing(sqlite3.connect(file, timeout=10, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


async def done_to(file: Path, *statements: str) -> None:
    """The same beside a server in this very loop, which may have to finish a transaction first."""
    await asyncio.to_thread(change, file, *statements)


def lines_in(file: Path, where: str = "1") -> list[Line]:
    """What is on the disk now, as lines of the export, oldest first."""
    with closing(sqlite3.connect(file, timeout=10)) as connection:
        connection.row_factory = sqlite3.Row
        rows = connection.execute(f"SELECT * FROM audit WHERE {where} ORDER BY seq").fetchall()  # noqa: S608
    return [record_of(dict(row)).as_json() for row in rows]


def notes_and_their_records(file: Path) -> tuple[int, int]:
    """How many notes there are, and how many records of their making: of one and the same moment."""
    query = """SELECT (SELECT count(*) FROM notes),
                      (SELECT count(*) FROM audit WHERE name = 'create_note' AND status = 200)"""
    with closing(sqlite3.connect(file, timeout=10)) as connection:
        notes, records = connection.execute(query).fetchone()
    return notes, records


def bytes_of(file: Path) -> bytes:
    """Everything that SQLite has written anywhere."""
    return b"".join(one.read_bytes() for one in file.parent.glob(f"{file.name}*"))


# Inserts fail as they would on a disk that is full or broken; notes can still be written.
BREAK = "CREATE TRIGGER broken BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'broken disk'); END"
MEND = "DROP TRIGGER broken"

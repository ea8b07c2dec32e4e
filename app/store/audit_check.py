"""The audit log as it lies in the database file, verified by reading nothing but the file.

Plain sqlite3 in one read transaction: what the server writes or removes meanwhile is not seen, and a text
whose bytes were damaged can be looked at.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from app.audit.chain import Check, Fault, Head, row_of
from app.audit.events import WHOLE_RESTORE
from app.store.audit import record_of
from app.store.engine import StoreUnusable


def verify_file(database: Path, key: bytes) -> Fault | int:
    """The first Fault, or how many records hold. Raises StoreUnusable if the file cannot be read at all."""
    if not database.is_file():
        raise StoreUnusable(f"There is no database at {database}. Check DATABASE_URL and DATA_DIR.")
    check, seq = Check(), 0
    with _reading(database) as connection:
        row = connection.execute("SELECT * FROM audit_head WHERE id = 1").fetchone()
        head = None if row is None else Head(row["seq"], str(row["hash"]), str(row["seal"]))
        try:
            for stored in connection.execute("SELECT * FROM audit ORDER BY seq"):
                seq = stored["seq"]
                if (fault := _take(check, dict(stored))) is not None:
                    return fault
        except sqlite3.DatabaseError as problem:
            return Fault(seq + 1, f"the file is damaged from here on: {problem}")
    return check.end(head, key)


def whole_restores(database: Path) -> list[int]:
    """The records (seq) of restores that took the audit log from a backup: what was recorded between the
    backup and then is missing, and no chain can show it."""
    with _reading(database) as connection:
        found = connection.execute(
            "SELECT seq FROM audit WHERE operation = ? ORDER BY seq", (f"brain/{WHOLE_RESTORE}",)
        )
        return [row["seq"] for row in found]


def _take(check: Check, stored: dict[str, Any]) -> Fault | None:
    changed = Fault(stored["seq"], "the record was changed")
    try:
        record = record_of(stored)
        as_written = row_of(record) == stored
    except (ValueError, TypeError):
        return changed
    # The hash is of what a record says; that it says it in the very same bytes is seen here.
    return check.take(record) or (None if as_written else changed)


@contextmanager
def _reading(database: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            connection.isolation_level = None
            connection.row_factory = sqlite3.Row
            connection.text_factory = lambda raw: raw.decode(errors="surrogateescape")
            connection.execute("BEGIN")
            yield connection
    except sqlite3.DatabaseError as problem:
        raise StoreUnusable(f"The audit log in {database} cannot be read: {problem}.") from None

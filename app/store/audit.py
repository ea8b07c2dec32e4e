"""Audit records in the database. Appending joins a transaction; reading never takes part in one."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Select, delete, insert, select, text
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from app.audit.chain import (
    FIRST,
    Head,
    Record,
    checkpoint,
    event_of,
    is_sealed,
    link_all,
    row_of,
    seal,
    unsealed,
)
from app.audit.events import Event
from app.store.engine import Database, StoreUnusable, unusable
from app.store.tables import audit

log = logging.getLogger("brain")

Execute = Callable[..., Any]  # straight to the driver: (SQL, values) to a cursor; a record costs little else

PAGE = 1000
AT_ONCE = 10_000  # records that one transaction of retention removes
FILL = 0.95  # of the room there is, what retention leaves full: so it has not to come back for each record
_NAMES = tuple(column.name for column in audit.c)
_INSERT = str(insert(audit).compile(dialect=sqlite.dialect()))  # in the order of the columns
_HEAD = "SELECT seq, hash, seal, (SELECT max(seq) FROM audit) FROM audit_head WHERE id = 1"
_ENDS = text("SELECT (SELECT min(seq) FROM audit), (SELECT max(seq) FROM audit)")
_NEWEST = "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1"
_SET_HEAD = (
    "INSERT INTO audit_head (id, seq, hash, seal) VALUES (1, ?, ?, ?) "
    "ON CONFLICT (id) DO UPDATE SET seq = excluded.seq, hash = excluded.hash, seal = excluded.seal"
)


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for; None does not narrow. `since` and `until` are milliseconds, the others exact."""

    who: str | None = None
    tool: str | None = None
    decision: str | None = None
    cf_ray: str | None = None
    request_id: str | None = None
    since: int | None = None
    until: int | None = None


class SqlAudit:
    """The audit log of one database. `key` seals its end (`sealing_key`)."""

    def __init__(self, database: Database, key: bytes) -> None:
        self._database, self.key = database, key

    async def append(self, stamped: Sequence[tuple[int, Event]]) -> None:
        """On disk when it returns, in a transaction of its own. Raises StoreUnusable."""
        with unusable():
            await self._database.write_at_once(lambda connection: self._link_in(connection.execute, stamped))

    async def join(self, connection: AsyncConnection, stamped: Sequence[tuple[int, Event]]) -> None:
        """In the transaction of `connection`, which must be a writer: kept with it or not at all."""
        with unusable():
            await connection.run_sync(lambda sync: self._link_in(sync.exec_driver_sql, stamped))

    def _link_in(self, execute: Execute, stamped: Sequence[tuple[int, Event]]) -> None:
        last, ours = self._end(execute)
        if not ours:
            log.error("THE AUDIT LOG WAS CHANGED by somebody else; `brain audit verify` tells of it")
            stamped = [(stamped[0][0], unsealed(last.seq if last else 0)), *stamped]
        records = link_all(last, stamped)
        for row in map(row_of, records):
            execute(_INSERT, tuple(row[name] for name in _NAMES))
        end = records[-1]
        execute(_SET_HEAD, (end.seq, end.hash, seal(self.key, end.seq, end.hash)))

    def _end(self, execute: Execute) -> tuple[Head | None, bool]:
        """Where the chain goes on, and whether it is an end of ours: never does a new seal cover up another
        hand's work."""
        row = execute(_HEAD).fetchone()
        if row is not None:
            seq, last_hash, sealed, newest_seq = row
            head = Head(seq, last_hash, sealed)
            if is_sealed(self.key, head) and (newest_seq or 0) <= seq:
                return head, True
        newest = execute(_NEWEST).fetchone()
        if newest is None:
            return (None, True) if row is None else (Head(0, FIRST, ""), False)
        return Head(newest[0], str(newest[1]), ""), False

    async def records(self, search: Search | None = None, after: int = 0) -> AsyncIterator[Record]:
        """Oldest first, from the one after `after`, page by page: new records may come meanwhile."""
        while True:
            query = _narrowed(search or Search()).where(audit.c.seq > after).order_by(audit.c.seq).limit(PAGE)
            rows = await self._rows(query)
            for row in rows:
                yield _record(row)
            if len(rows) < PAGE:
                return
            after = rows[-1].seq

    async def newest(self, search: Search, limit: int) -> list[Record]:
        """At most `limit`, oldest of them first."""
        query = _narrowed(search).order_by(audit.c.seq.desc()).limit(limit)
        return [_record(row) for row in reversed(await self._rows(query))]

    async def _rows(self, query: Select[Any]) -> Sequence[Any]:
        with unusable():
            async with self._database.read() as connection:
                result = await connection.execute(query)
        rows: Sequence[Any] = result.all()
        return rows

    async def prune(self, at: int, *, older_than: int, keep_bytes: int) -> int:
        """Removes records from before `older_than` (ms), then the oldest beyond about `keep_bytes`.

        The last one removed is named by a checkpoint in the chain, in the same transaction. Returns how
        many are gone: AT_ONCE when there may be more, so that nobody has to wait long for their turn to
        write. The newest record always stays.
        """
        with unusable():
            async with self._database.write() as connection:
                last = await _last_to_go(connection, older_than, keep_bytes)
                if last is None:
                    return 0
                gone = await connection.execute(delete(audit).where(audit.c.seq <= last.seq))
                await self.join(connection, [(at, checkpoint(last))])
                return gone.rowcount


def sealing_key(file: Path) -> bytes:
    """The key in `file` (0600), made on first use. Raises StoreUnusable."""
    try:
        if not file.exists():
            _make_key(file)
    except OSError as problem:
        raise _no_key(file, problem) from None
    return known_key(file)


def known_key(file: Path) -> bytes:
    """The key in `file`, which must be there. Raises StoreUnusable."""
    try:
        key = bytes.fromhex(file.read_text().strip())
        if len(key) < 32:
            raise ValueError("too short")
        return key
    except (OSError, ValueError) as problem:
        raise _no_key(file, problem) from None


def _no_key(file: Path, problem: Exception) -> StoreUnusable:
    why = problem.strerror if isinstance(problem, OSError) else problem
    return StoreUnusable(
        f"{file} is not a usable key ({why}). Restore it from a backup of DATA_DIR; "
        "a new one cannot prove the end of the audit log so far."
    )


def _make_key(file: Path) -> None:
    """Whole or not at all; of two processes that make one at the same time, the first one's stays."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    mine = file.with_name(f"{file.name}.{os.getpid()}")
    with os.fdopen(os.open(mine, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(secrets.token_bytes(32).hex() + "\n")
        out.flush()
        os.fsync(out.fileno())  # what it seals is on the disk, so it must be
    with contextlib.suppress(FileExistsError):
        os.link(mine, file)
    mine.unlink()


async def _last_to_go(connection: AsyncConnection, older_than: int, keep_bytes: int) -> Record | None:
    """The newest record that retention removes now.

    By age it is the one before the oldest that is young enough: found without a walk through the table, and
    a clock that was wrong for a while removes nothing early. Sizes are estimated from the mean of a sample.
    """
    oldest, newest = (await connection.execute(_ENDS)).one()
    if oldest is None:
        return None
    young = select(audit.c.seq).where(audit.c.at >= older_than).order_by(audit.c.seq).limit(1)
    last = ((await connection.execute(young)).scalar() or newest) - 1
    room = max(1, int(keep_bytes / await _bytes_per_record(connection)))
    if newest - max(last, oldest - 1) > room:
        last = newest - max(1, int(room * FILL))
    last = min(last, oldest + AT_ONCE - 1, newest - 1)
    row = (await connection.execute(select(audit).where(audit.c.seq == last))).first()
    return None if row is None else _record(row)


async def _bytes_per_record(connection: AsyncConnection) -> float:
    sample = text(
        "SELECT avg(length(request_id) + length(cf_ray) + length(door) + length(principal) + length(kind) "
        "+ length(client) + length(groups) + length(operation) + length(name) + length(args_sha256) "
        "+ length(args) + length(decision) + length(rules) + length(reason)) "
        "FROM (SELECT * FROM audit ORDER BY seq DESC LIMIT 1000)"
    )
    mean = (await connection.execute(sample)).scalar()
    return float(mean or 0) + 200  # hashes, numbers, index and page overhead


def _narrowed(search: Search) -> Select[Any]:
    query = select(audit)
    for column, value in (
        (audit.c.principal, search.who),
        (audit.c.name, search.tool),
        (audit.c.decision, search.decision),
        (audit.c.cf_ray, search.cf_ray),
        (audit.c.request_id, search.request_id),
    ):
        if value is not None:
            query = query.where(column == value)
    if search.since is not None:
        query = query.where(audit.c.at >= search.since)
    if search.until is not None:
        query = query.where(audit.c.at < search.until)
    return query


def _record(row: Any) -> Record:
    try:
        return record_of(row._mapping)
    except (ValueError, TypeError):
        raise StoreUnusable(
            f"Record {row.seq} of the audit log cannot be read. `brain audit verify` says what is wrong."
        ) from None


def record_of(values: Mapping[str, Any]) -> Record:
    """The Record of a stored row. Raises ValueError or TypeError if no record was ever stored like this."""
    return Record(values["seq"], values["at"], event_of(values), values["prev"], values["hash"])

"""The log in the database: one chain for all who write, faults in the file, and what retention leaves."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.audit.chain import Fault
from app.audit.retention import retention
from app.store.audit import AT_ONCE
from app.store.audit_check import verify_file
from app.store.engine import StoreUnusable
from tests.house import Clock

from .chains import AT, KEY, event
from .conftest import Log
from .tables import change
from .waiting import until

DAY = 86_400_000


async def test_many_writers_at_once_make_one_chain(log: Log) -> None:
    await asyncio.gather(*(log.add(n % 3 + 1) for n in range(30)))
    assert verify_file(log.file, KEY) == 60
    assert await log.seqs() == list(range(1, 61))


@pytest.mark.parametrize(
    ("done", "seq", "what"),
    [
        ("UPDATE audit SET name = 'fetch' WHERE seq = 3", 3, "the record was changed"),
        ("UPDATE audit SET status = 201 WHERE seq = 5", 5, "the record was changed"),
        ("UPDATE audit SET at = at + 1 WHERE seq = 1", 1, "the record was changed"),
        ("UPDATE audit SET at = 'then' WHERE seq = 2", 2, "the record was changed"),
        ("UPDATE audit SET rules = '[]]' WHERE seq = 2", 2, "the record was changed"),
        ("UPDATE audit SET rules = '[ ]' WHERE seq = 2", 2, "the record was changed"),
        ("UPDATE audit SET groups = '7' WHERE seq = 2", 2, "the record was changed"),
        ('UPDATE audit SET args = \'{"id":"1"}\' WHERE seq = 4', 4, "the record was changed"),
        ("UPDATE audit SET reason = CAST(x'ff' AS TEXT) WHERE seq = 2", 2, "the record was changed"),
        ("UPDATE audit SET name = x'736561726368' WHERE seq = 2", 2, "the record was changed"),
        ("DELETE FROM audit WHERE seq = 3", 3, "the record is missing"),
        ("DELETE FROM audit WHERE seq > 3", 4, "the records from here to 5 are cut off"),
        ("DELETE FROM audit", 1, "the records from here to 5 are cut off"),
        (
            "DELETE FROM audit WHERE seq < 3",
            1,
            "the records from here to 2 are gone, and no checkpoint tells of it",
        ),
        ("DELETE FROM audit_head", 5, "the end of the chain is not sealed"),
        ("UPDATE audit_head SET seal = 'ü'", 5, "the seal at the end of the chain is not ours"),
        ("UPDATE audit_head SET seq = 4", 4, "the seal at the end of the chain is not ours"),
    ],
)
async def test_whatever_is_done_to_the_tables_is_found_and_named(
    log: Log, done: str, seq: int, what: str
) -> None:
    await log.audit.append([(AT, event(args='{"id": "1"}')) for _ in range(5)])
    change(log.file, done)
    assert verify_file(log.file, KEY) == Fault(seq, what)


async def test_two_records_that_change_places_are_found(log: Log) -> None:
    await log.audit.append([(AT + n, event(f"tool {n}")) for n in range(5)])
    change(
        log.file,
        "UPDATE audit SET seq = -2 WHERE seq = 2",
        "UPDATE audit SET seq = 2 WHERE seq = 4",
        "UPDATE audit SET seq = 4 WHERE seq = -2",
    )
    assert verify_file(log.file, KEY) == Fault(2, "the record does not follow the one before it")


async def test_every_byte_of_a_record_in_the_file_is_held(log: Log) -> None:
    await log.audit.append([(AT, event(f"tool {n}", reason="because", rules=("r1", "r2"))) for n in range(3)])
    await log.store.close()
    change(log.file, "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode=DELETE")
    whole = log.file.read_bytes()
    begin = whole.index(b"tool 1")
    assert whole.count(b"tool 1") == 1
    for place in range(
        begin - 12, begin + 100
    ):  # operation, name, decision, rules, reason, and on into the hashes
        log.file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        assert isinstance(found := verify_file(log.file, KEY), Fault), place - begin
        assert found.seq == 2
    log.file.write_bytes(whole)
    assert verify_file(log.file, KEY) == 3


async def test_a_file_that_sqlite_itself_cannot_read_is_a_fault_where_that_begins(log: Log) -> None:
    for n in range(40):
        await log.add(10, name=f"tool {n}")
    await log.store.close()
    change(log.file, "PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA journal_mode=DELETE")
    whole = bytearray(log.file.read_bytes())
    place = whole.index(b"tool 20") // 4096 * 4096
    whole[place : place + 8] = b"\xff" * 8  # the head of a page of the table
    log.file.write_bytes(whole)
    found = verify_file(log.file, KEY)
    assert isinstance(found, Fault)
    assert 150 < found.seq < 250
    assert found.what.startswith("the file is damaged from here on: ")


@pytest.mark.parametrize(
    "covered",
    [
        # A record is changed, or the tail cut off, and an end is written that would fit if it were sealed.
        ("UPDATE audit SET name = 'x' WHERE seq = 3",),
        ("DELETE FROM audit WHERE seq > 2", "UPDATE audit_head SET seq = 2"),
        ("DELETE FROM audit WHERE seq > 2", "DELETE FROM audit_head"),
        ("DELETE FROM audit_head",),
        ("DELETE FROM audit", "UPDATE audit_head SET seal = 'none'"),
        (
            "CREATE TEMP TABLE copy AS SELECT * FROM audit WHERE seq = 3",
            "UPDATE copy SET seq = 4",
            "INSERT INTO audit SELECT * FROM copy",
        ),
    ],
)
async def test_a_server_that_goes_on_never_seals_what_somebody_else_did(
    log: Log, covered: tuple[str, ...]
) -> None:
    await log.add(3)
    change(log.file, *covered)
    assert isinstance(verify_file(log.file, KEY), Fault)
    await log.add()
    assert isinstance(verify_file(log.file, KEY), Fault)


async def test_that_somebody_else_wrote_the_end_is_logged_and_recorded_once(
    log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    await log.add(3)
    change(log.file, "UPDATE audit_head SET seal = 'mine'")
    await log.add()
    await log.add()
    assert [record.event.operation async for record in log.audit.records()] == [
        *["tools/call"] * 3,
        "audit/unsealed",
        *["tools/call"] * 2,
    ]
    assert [entry.message for entry in caplog.records] == [
        "THE AUDIT LOG WAS CHANGED by somebody else; `brain audit verify` tells of it"
    ]


async def test_a_log_without_records_holds(log: Log) -> None:
    assert verify_file(log.file, KEY) == 0


async def test_what_verify_sees_is_one_moment_whatever_is_written_or_removed_meanwhile(log: Log) -> None:
    await log.add(3000)

    async def busy() -> None:
        for n in range(20):
            await log.add(5)
            await log.audit.prune(AT, older_than=0, keep_bytes=400_000 - 10_000 * n)

    working = asyncio.create_task(busy())
    while not working.done():
        assert isinstance(await asyncio.to_thread(verify_file, log.file, KEY), int)
    await working


async def test_retention_by_age_leaves_a_chain_that_holds(log: Log) -> None:
    await log.add(5, at=AT - 2 * DAY)
    await log.add(5)
    assert await log.audit.prune(AT, older_than=AT - DAY, keep_bytes=2**20) == 5
    assert await log.audit.prune(AT, older_than=AT - DAY, keep_bytes=2**20) == 0
    assert await log.seqs() == list(range(6, 12))
    assert verify_file(log.file, KEY) == 6


async def test_a_checkpoint_that_is_removed_or_changed_is_found(log: Log) -> None:
    await log.add(5, at=AT - 2 * DAY)
    await log.add(5)
    await log.audit.prune(AT, older_than=AT - DAY, keep_bytes=2**20)
    await log.add()
    change(log.file, "DELETE FROM audit WHERE seq = 6")
    assert verify_file(log.file, KEY) == Fault(
        6, "the records from here to 6 are gone, and no checkpoint tells of it"
    )
    change(log.file, "DELETE FROM audit WHERE operation = 'audit/prune'")
    assert verify_file(log.file, KEY) == Fault(11, "the record is missing")


async def test_retention_by_size_leaves_about_what_was_asked_for_and_has_not_to_come_back(log: Log) -> None:
    def pages() -> int:
        with closing(sqlite3.connect(log.file)) as connection:
            count, free, size = (
                connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
        return int((count - free) * size)

    room, empty = 400_000, pages()
    for n in range(40):
        more: dict[str, Any] = {
            "request_id": f"{n:016}",
            "principal": "alice@example.com",
            "args_sha256": "a" * 64,
        }
        await log.add(100, reason="writers: email is alice@example.com", **more)
    assert 0 < await log.audit.prune(AT, older_than=0, keep_bytes=room) < 4000
    assert await log.audit.prune(AT, older_than=0, keep_bytes=room) == 0
    assert verify_file(log.file, KEY) == len(await log.seqs())
    assert 0.6 < (pages() - empty) / room < 1.4


async def test_age_and_size_again_and_again_leave_one_chain(log: Log) -> None:
    for day in range(1, 8):
        await log.add(100, at=AT + day * DAY)
        await log.audit.prune(AT + day * DAY, older_than=AT + (day - 3) * DAY, keep_bytes=90_000)
        assert isinstance(verify_file(log.file, KEY), int)


async def test_the_newest_record_stays_however_old(log: Log) -> None:
    await log.add(5)
    assert await log.audit.prune(AT, older_than=AT + DAY, keep_bytes=1) == 4
    assert 5 in await log.seqs()


async def test_a_clock_that_was_wrong_for_a_while_removes_nothing_early(log: Log) -> None:
    await log.add(3)
    await log.add(1, at=0)  # a machine without a battery begins in 1970
    await log.add(3)
    assert await log.audit.prune(AT, older_than=AT - DAY, keep_bytes=2**20) == 0


async def test_one_step_of_retention_is_bounded_and_the_rest_follows(log: Log, clock: Clock) -> None:
    for _ in range(3):
        await log.add(AT_ONCE // 2, at=AT - 2 * DAY)
    await log.add(2, at=AT)
    assert await log.audit.prune(AT, older_than=AT - DAY, keep_bytes=2**30) == AT_ONCE
    assert verify_file(log.file, KEY) == AT_ONCE // 2 + 3
    async with retention(log.audit, clock, keep_days=1, keep_mb=1024):
        await until(lambda: verify_file(log.file, KEY) == 4, seconds=60)


async def test_looking_for_what_is_old_does_not_walk_through_a_log_in_which_nothing_is(log: Log) -> None:
    steps = 0

    def count() -> int:
        nonlocal steps
        steps += 1
        return 0

    async with log.store.database.read() as connection:
        raw = await connection.get_raw_connection()
        driver: Any = raw.driver_connection
        await driver.set_progress_handler(count, 1)  # the pool gives out the one that was used last

    async def looked() -> int:
        nonlocal steps
        steps = 0
        assert await log.audit.prune(AT, older_than=AT - DAY, keep_bytes=2**30) == 0
        return steps

    await log.add(1100)
    await looked()
    few = await looked()
    await log.add(5000)
    assert 0 < await looked() < few + 100


async def test_a_broken_table_is_a_refusal_and_no_crash(log: Log) -> None:
    change(log.file, "ALTER TABLE audit RENAME TO away")
    for attempt in (
        log.add(),
        log.audit.prune(AT, older_than=0, keep_bytes=1),
        log.seqs(),
    ):
        with pytest.raises(StoreUnusable, match=r"The database failed; nothing was changed\."):
            await attempt


async def test_a_record_that_cannot_be_read_is_named_to_who_reads(log: Log) -> None:
    await log.add(3)
    change(log.file, "UPDATE audit SET rules = '[' WHERE seq = 2")
    with pytest.raises(StoreUnusable, match="Record 2 of the audit log cannot be read"):
        await log.seqs()


async def test_there_is_nothing_to_verify_without_a_database(tmp_path: Path) -> None:
    with pytest.raises(StoreUnusable, match="There is no database at "):
        verify_file(tmp_path / "brain.db", KEY)

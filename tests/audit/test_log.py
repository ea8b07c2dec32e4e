"""The writer of the log: what waits, what is told to whom, and what happens when the storage breaks."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest

from app.audit.journal import CallJournal
from app.audit.log import MAX_WAITING, AuditLog, AuditUnavailable, RefusedUntried
from tests.house import Clock

from .chains import event
from .shelf import Broken, Shelf
from .waiting import until


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def log(shelf: Shelf, clock: Clock, tmp_path: Path) -> AuditLog:
    return AuditLog(shelf, CallJournal(tmp_path, "test"), clock)


async def test_reads_are_written_together_and_a_denial_takes_them_along_at_once(
    log: AuditLog, shelf: Shelf
) -> None:
    async with log.running():
        for n in range(5):
            log.note(event(f"read {n}"))
        assert shelf.kept == []
        await log.keep(event("denied"))
        assert shelf.kept == [*(f"read {n}" for n in range(5)), "denied"]
        assert shelf.steps == [6]


async def test_a_read_waits_for_others_no_longer_than_promised(log: AuditLog, shelf: Shelf) -> None:
    async with log.running():
        log.note(event("read"))
        assert await until(lambda: shelf.kept == ["read"], 2) >= 0.03


async def test_what_is_noted_before_the_end_is_written_at_the_end(log: AuditLog, shelf: Shelf) -> None:
    async with log.running():
        log.note(event("last"))
    assert shelf.kept == ["last"]


async def test_a_long_queue_is_written_in_steps(log: AuditLog, shelf: Shelf) -> None:
    async with log.running():
        for n in range(1200):
            log.note(event(str(n)))
        await log.keep(event("denied"))
    assert len(shelf.kept) == 1201
    assert max(shelf.steps) <= 500


async def test_who_waits_for_a_broken_log_hears_it_and_the_record_is_written_later_once(
    log: AuditLog, shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    async with log.running():
        shelf.broken = Broken("The disk is full.", detail="SQLITE_FULL")
        for n in range(3):
            with pytest.raises(AuditUnavailable):
                await log.keep(event(f"denied {n}"))
        assert not log.healthy
        shelf.broken = None
        await until(lambda: log.healthy, 3)
    assert shelf.kept == ["denied 0", "denied 1", "denied 2"]
    assert [line.message for line in caplog.records] == [
        "THE AUDIT LOG CANNOT BE WRITTEN: changes are refused until it can. The disk is full. SQLITE_FULL",
        "the audit log can be written again",
    ]


@pytest.mark.parametrize("broken", [OSError("gone"), ValueError("odd"), UnicodeError("worse")])
async def test_no_error_whatever_ends_the_writer(log: AuditLog, shelf: Shelf, broken: Exception) -> None:
    async with log.running():
        shelf.broken = broken
        with pytest.raises(AuditUnavailable):
            await log.keep(event("denied"))
        shelf.broken = None
        await log.keep(event("again"))
    assert shelf.kept == ["denied", "again"]


async def test_a_change_is_not_begun_while_the_log_is_known_to_be_broken(log: AuditLog, shelf: Shelf) -> None:
    async with log.running():
        shelf.broken = Broken("The disk is full.")
        with pytest.raises(AuditUnavailable):
            await log.keep(event("denied"))
        with pytest.raises(RefusedUntried), log.change(event):
            raise AssertionError("begun")
        shelf.broken = None
        await until(lambda: log.healthy, 3)
        with log.change(event):
            pass


async def test_a_flood_fills_the_queue_up_to_its_bound_and_what_is_lost_is_told_in_the_log_itself(
    log: AuditLog, shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    async with log.running():
        shelf.broken = Broken("The disk is full.")
        for n in range(MAX_WAITING + 7):
            log.note(event(str(n)))
        with pytest.raises(AuditUnavailable):  # not even its record is held
            await log.keep(event("denied"))
        shelf.broken = None
        await until(lambda: "8 records" in shelf.kept)
    assert shelf.kept == [*map(str, range(MAX_WAITING)), "8 records"]
    assert "8 audit records were lost" in [line.message for line in caplog.records]


async def test_a_flood_of_a_healthy_log_never_loses_a_denial_in_silence(log: AuditLog, shelf: Shelf) -> None:
    async with log.running():
        for n in range(MAX_WAITING):
            log.note(event(str(n)))
        with pytest.raises(AuditUnavailable):
            await log.keep(event("denied"))
        await until(lambda: "1 records" in shelf.kept)


async def test_a_caller_that_hangs_up_while_a_denial_is_written_leaves_its_record(
    log: AuditLog, shelf: Shelf
) -> None:
    async with log.running():
        waiting = asyncio.create_task(log.keep(event("denied")))
        await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
    assert shelf.kept == ["denied"]


async def test_an_end_with_a_broken_disk_is_not_silent_and_nobody_waits_for_ever(
    log: AuditLog, shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    async with log.running():
        shelf.broken = Broken("The disk is full.")
        log.note(event("read"))
    assert caplog.records[-1].message == "the server ends with 1 audit records that could not be written"
    with pytest.raises(AuditUnavailable):
        await log.keep(event("too late"))


async def test_the_record_of_a_change_goes_with_its_transaction_and_only_once(
    log: AuditLog, shelf: Shelf
) -> None:
    async with log.running():
        await log.join(None)  # a transaction outside of any call
        with log.change(lambda: event("create_note")) as pending:
            await log.join(None)
            await log.join(None)
            assert pending.kept
        await log.join(None)
    assert shelf.kept == ["create_note"]

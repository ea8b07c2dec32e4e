"""A caller who hangs up in the middle of a change."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from app.audit.journal import CallJournal
from app.audit.log import AuditLog
from app.audit.metrics import Observer
from app.audit.recorder import NESTED, Call, Recorder, Request, digest, to_its_end
from app.notes.models import Caller
from app.principal import LAN
from app.server import new_note_id
from app.store.audit import SqlAudit
from app.store.open import open_store

from .chains import KEY
from .changer import ALLOWED, ANYWHERE
from .tables import notes_and_their_records


async def test_keeps_nobody_waiting_and_leaves_no_change_without_its_record(tmp_path: Path) -> None:
    """Cancelled again and again, as a cancel scope does it."""
    store = await open_store(tmp_path / "brain.db", now=time.time, new_id=lambda: new_note_id(time.time))
    audit = AuditLog(SqlAudit(store.database, KEY), CallJournal(tmp_path, "test"), time.time)
    store.database.before_commit = audit.join
    recorder = Recorder(request=lambda: Request(LAN), report=Observer(), audit=audit, clock=time.perf_counter)

    async def change(title: str) -> None:
        arguments: dict[str, Any] = {"title": title, "text": "x" * 50_000, "tags": (), "space": "main"}
        call = Call("tools/call", "create_note", ALLOWED, arguments, changes=True)
        await recorder.run(call, lambda: store.notes.add(Caller("lan", None, ANYWHERE), **arguments))

    async with audit.running():
        for n in range(60):
            task = asyncio.create_task(change(f"hung up {n}"))
            for _ in range(n):
                await asyncio.sleep(0)
            while not task.done():
                task.cancel()
                await asyncio.sleep(0)
            async with asyncio.timeout(2):
                await change(f"after {n}")
    await store.close()
    notes, records = notes_and_their_records(tmp_path / "brain.db")
    assert notes == records >= 60


async def test_a_change_that_does_not_end_is_cancelled_once_and_may_clean_up() -> None:
    cancelled, clean = [], asyncio.Event()

    async def stuck() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(1)
            for _ in range(10):
                await asyncio.sleep(0)
            clean.set()
            raise

    task = asyncio.create_task(to_its_end(stuck()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (cancelled, clean.is_set()) == ([1], True)


def test_arguments_that_are_nested_too_deep_have_a_digest_nevertheless() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert digest({"a": deep}) == NESTED

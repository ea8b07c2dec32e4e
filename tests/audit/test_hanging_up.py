"""A caller who hangs up in the middle of a change."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from app.audit.journal import CallJournal
from app.audit.log import AuditLog
from app.audit.metrics import Observer
from app.audit.recorder import Call, Recorder, Request
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

"""A process that changes notes as a server does, the record in the transaction of the change, and says of
each change when it is acknowledged."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from app.audit.journal import CallJournal
from app.audit.log import AuditLog
from app.audit.metrics import Observer
from app.audit.recorder import Call, Recorder, Request
from app.notes.ids import uuid7
from app.notes.models import Caller, Spaces
from app.policy.decide import Decision, Operation
from app.principal import LAN
from app.store.audit import SqlAudit, sealing_key
from app.store.open import open_store

ANYWHERE = Spaces(every=True)
ALLOWED = Decision(
    True, Operation("tool", "create_note", False), (), frozenset(), ("lan",), ("lan",), ANYWHERE
)


async def work(file: Path, name: str) -> None:
    store = await open_store(
        file, now=time.time, new_id=lambda: uuid7(int(time.time() * 1000), secrets.token_bytes(10))
    )
    records = SqlAudit(store.database, sealing_key(file.with_name("audit.key")))
    audit = AuditLog(records, CallJournal(file.parent, secrets.token_hex(4)), time.time)
    store.database.before_commit = audit.join
    recorder = Recorder(
        request=lambda: Request(LAN, request_id=name), report=Observer(), audit=audit, clock=time.perf_counter
    )

    async def change(n: int) -> None:
        arguments: dict[str, Any] = {"title": f"{name} {n}", "text": "text", "tags": (), "space": "main"}
        call = Call("tools/call", "create_note", ALLOWED, arguments, changes=True)
        note = await recorder.run(call, lambda: store.notes.add(Caller("lan", None, ANYWHERE), **arguments))
        print(note.id, flush=True)

    async def read(n: int) -> None:
        call = Call("tools/call", "search", ALLOWED, {"query": str(n)})
        await recorder.run(call, lambda: asyncio.sleep(0))

    async with audit.running():
        for n in range(1_000_000):
            await asyncio.gather(change(2 * n), change(2 * n + 1), *(read(m) for m in range(5)))


if __name__ == "__main__":
    asyncio.run(work(Path(sys.argv[1]), sys.argv[2]))

"""A process that writes notes as fast as it can and says of each when it is acknowledged."""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from pathlib import Path

from app.notes.ids import uuid7
from app.notes.models import Caller, Spaces
from app.store.open import open_store


async def write(file: Path, name: str, number: int) -> None:
    store = await open_store(
        file, now=time.time, new_id=lambda: uuid7(int(time.time() * 1000), secrets.token_bytes(10))
    )
    lan = Caller(name, None, Spaces(every=True))
    for n in range(number):
        note = await store.notes.add(lan, title=f"{name} {n}", text=f"text {n}", tags=(name,), space="main")
        await store.notes.append(lan, note.id, "appended")
        print(note.id, flush=True)
    await store.close()


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))

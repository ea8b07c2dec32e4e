"""A process that races for one code or one refresh token: prints how often it won, and the successors.

Usage: racer.py FILE code SHA256 NOW | FILE refresh SECRET NOW
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from app.oauth.models import RefreshToken, fingerprint_of
from app.store.grants import SqlOAuth
from app.store.open import open_store
from tests.oauth.desk import successor


async def main(file: str, what: str, value: str, at: str) -> None:
    now = float(at)
    store = await open_store(Path(file), now=lambda: now, new_id=lambda: "")
    oauth = SqlOAuth(store.database)

    async def once() -> bool:
        if what == "code":
            return await oauth.use_code(value, now)
        old = await oauth.find_refresh(fingerprint_of(value))
        assert old is not None
        new = RefreshToken(
            fingerprint_of(successor(value)),
            old.grant_id,
            old.client_id,
            now,
            old.expires_at,
            parent_sha256=old.sha256,
        )
        return await oauth.rotate_refresh(old.sha256, new, now=now, grace=60)

    print("ready", flush=True)
    sys.stdin.readline()
    won = await asyncio.gather(*(once() for _ in range(10)))
    print(sum(won), flush=True)
    await store.close()


asyncio.run(main(*sys.argv[1:]))

"""Takes grants back, and says so to every process in the same transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, insert, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.oauth.models import ACCESS_SECONDS
from app.store.tables import oauth_grants as grants
from app.store.tables import oauth_revocations as revocations

# An access token that is minted while its grant is revoked may be this much younger, and clocks differ.
MARGIN_SECONDS = 120


async def revoke(
    connection: AsyncConnection, which: ColumnElement[bool], now: float, *, also: str | None = None
) -> int:
    """How many grants of `which` stood until now. `also`: the grant id of a client's own tokens."""
    taken = await connection.execute(
        update(grants)
        .where(which, grants.c.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(grants.c.id)
    )
    ids = [row.id for row in taken]
    until = now + ACCESS_SECONDS + MARGIN_SECONDS
    rows: list[dict[str, Any]] = [
        {"grant_id": grant_id, "until": until} for grant_id in (*ids, *([also] if also else []))
    ]
    if rows:
        await connection.execute(insert(revocations), rows)
    return len(ids)

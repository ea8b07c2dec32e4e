"""OAuth clients in the database."""

from __future__ import annotations

from sqlalchemy import delete, insert, literal, or_, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from app.oauth.minting import client_subject
from app.oauth.models import UNUSED_CLIENT_SECONDS, Client
from app.store.engine import Database, unusable
from app.store.oauth_rows import client_of, row_of
from app.store.revoking import revoke
from app.store.tables import oauth_clients as clients
from app.store.tables import oauth_grants as grants
from app.store.tables import oauth_requests as requests


class SqlClients:
    """The clients' part of OAuthStore."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def add(self, client: Client) -> None:
        with unusable():
            async with self._database.write() as connection:
                await connection.execute(insert(clients).values(row_of(client)))

    async def put_document(self, client: Client) -> None:
        row = row_of(client)
        kept = {"id", "origin", "created_at", "last_used_at"}
        changed = {name: value for name, value in row.items() if name not in kept}
        statement = (
            sqlite.insert(clients)
            .values(row)
            .on_conflict_do_update(
                index_elements=["id"],
                set_={**changed, "last_used_at": client.created_at},
                where=clients.c.origin == "document",
            )
        )
        with unusable():
            async with self._database.write() as connection:
                await connection.execute(statement)

    async def find(self, client_id: str) -> Client | None:
        with unusable():
            async with self._database.read() as connection:
                row = (await connection.execute(select(clients).where(clients.c.id == client_id))).first()
        return None if row is None else client_of(row)

    async def list(self) -> tuple[Client, ...]:
        with unusable():
            async with self._database.read() as connection:
                rows = await connection.execute(select(clients).order_by(clients.c.created_at, clients.c.id))
        return tuple(client_of(row) for row in rows)

    async def touch(self, client_id: str, at: float) -> None:
        with unusable():
            async with self._database.write() as connection:
                await touch(connection, client_id, at)

    async def delete(self, client_id: str, now: float) -> bool:
        with unusable():
            async with self._database.write() as connection:
                live = grants.c.client_id == client_id
                await revoke(connection, live, now, also=client_subject(client_id))
                await connection.execute(delete(grants).where(live))
                await connection.execute(delete(requests).where(requests.c.client_id == client_id))
                gone = await connection.execute(delete(clients).where(clients.c.id == client_id))
                return gone.rowcount > 0


async def touch(connection: AsyncConnection, client_id: str, at: float) -> None:
    await connection.execute(update(clients).where(clients.c.id == client_id).values(last_used_at=at))


async def forget_unused(connection: AsyncConnection, now: float) -> int:
    """Those without a grant that nobody used for long; the operator's own stay."""
    long_ago = now - UNUSED_CLIENT_SECONDS
    unused = or_(clients.c.last_used_at.is_(None), clients.c.last_used_at < long_ago)
    granted = select(literal(1)).where(grants.c.client_id == clients.c.id).exists()
    gone = await connection.execute(
        delete(clients).where(
            clients.c.origin != "operator", clients.c.created_at < long_ago, unused, ~granted
        )
    )
    return gone.rowcount

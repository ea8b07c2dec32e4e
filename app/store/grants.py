"""OAuthStore in the database: each single use and each rotation is one statement that one caller wins."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, delete, func, insert, literal, or_, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from app.oauth.models import AuthorizationRequest, Code, Grant, RefreshToken
from app.store.clients import SqlClients, forget_unused, touch
from app.store.engine import Database, unusable
from app.store.oauth_rows import code_of, grant_of, refresh_of, request_of, row_of
from app.store.revoking import revoke
from app.store.tables import oauth_codes as codes
from app.store.tables import oauth_grants as grants
from app.store.tables import oauth_jtis as jtis
from app.store.tables import oauth_refresh_tokens as refreshes
from app.store.tables import oauth_requests as requests
from app.store.tables import oauth_revocations as revocations

REPLAY_SECONDS = 86_400  # for so long a code that was used is recognised


class SqlOAuth:
    """Implements OAuthStore (app/oauth/models.py)."""

    def __init__(self, database: Database) -> None:
        self._database, self._clients = database, SqlClients(database)
        self.add_client, self.find_client = self._clients.add, self._clients.find
        self.put_document_client, self.touch_client = self._clients.put_document, self._clients.touch
        self.delete_client, self.clients = self._clients.delete, self._clients.list

    async def add_request(self, request: AuthorizationRequest) -> None:
        await self._write(insert(requests).values(row_of(request)))

    async def find_request(self, id_sha256: str, now: float) -> AuthorizationRequest | None:
        rows = await self._rows(
            select(requests).where(requests.c.id_sha256 == id_sha256, requests.c.expires_at > now)
        )
        return request_of(rows[0]) if rows else None

    async def take_request(
        self, id_sha256: str, *, principal_id: str, browser_sha256: str, now: float
    ) -> AuthorizationRequest | None:
        statement = (
            delete(requests)
            .where(
                requests.c.id_sha256 == id_sha256,
                requests.c.principal_id == principal_id,
                requests.c.browser_sha256 == browser_sha256,
                requests.c.expires_at > now,
            )
            .returning(requests)
        )
        with unusable():
            async with self._database.write() as connection:
                row = (await connection.execute(statement)).first()
        return None if row is None else request_of(row)

    async def add_grant(self, grant: Grant, code: Code) -> None:
        with unusable():
            async with self._database.write() as connection:
                await connection.execute(insert(grants).values(row_of(grant)))
                await connection.execute(insert(codes).values(row_of(code)))
                await touch(connection, grant.client_id, grant.created_at)

    async def find_grant(self, grant_id: str) -> Grant | None:
        rows = await self._rows(select(grants).where(grants.c.id == grant_id))
        return grant_of(rows[0]) if rows else None

    async def grants(self, now: float, principal_id: str | None = None) -> tuple[Grant, ...]:
        query = select(grants).where(grants.c.revoked_at.is_(None), grants.c.expires_at > now)
        if principal_id is not None:
            query = query.where(grants.c.principal_id == principal_id)
        rows = await self._rows(query.order_by(grants.c.created_at.desc(), grants.c.id))
        return tuple(grant_of(row) for row in rows)

    async def approved(self, principal_id: str, client_id: str) -> tuple[Grant, ...]:
        query = select(grants).where(grants.c.principal_id == principal_id, grants.c.client_id == client_id)
        rows = await self._rows(query.order_by(grants.c.created_at.desc()).limit(100))
        return tuple(grant_of(row) for row in rows)

    async def find_code(self, sha256: str) -> Code | None:
        rows = await self._rows(select(codes).where(codes.c.sha256 == sha256))
        return code_of(rows[0]) if rows else None

    async def use_code(self, sha256: str, now: float, refresh: RefreshToken | None = None) -> bool:
        statement = (
            update(codes)
            .where(codes.c.sha256 == sha256, codes.c.used_at.is_(None), codes.c.expires_at > now)
            .where(_stands(codes, now))
            .values(used_at=now)
            .returning(codes.c.grant_id)
        )
        with unusable():
            async with self._database.write() as connection:
                used = (await connection.execute(statement)).first()
                if used is None:
                    return False
                if refresh is not None:
                    await connection.execute(insert(refreshes).values(row_of(refresh)))
                await _touch_grant(connection, used.grant_id, now)
                return True

    async def count_try(self, sha256: str) -> None:
        await self._write(update(codes).where(codes.c.sha256 == sha256).values(tries=codes.c.tries + 1))

    async def add_refresh(self, token: RefreshToken) -> None:
        await self._write(insert(refreshes).values(row_of(token)))

    async def find_refresh(self, sha256: str) -> RefreshToken | None:
        rows = await self._rows(select(refreshes).where(refreshes.c.sha256 == sha256))
        return refresh_of(rows[0]) if rows else None

    async def rotate_refresh(self, sha256: str, successor: RefreshToken, *, now: float, grace: float) -> bool:
        unrotated = or_(refreshes.c.rotated_at.is_(None), refreshes.c.rotated_at > now - grace)
        statement = (
            update(refreshes)
            .where(refreshes.c.sha256 == sha256, refreshes.c.expires_at > now, _stands(refreshes, now))
            .where(refreshes.c.succeeded_at.is_(None), unrotated)
            .values(rotated_at=func.coalesce(refreshes.c.rotated_at, now))
            .returning(refreshes.c.parent_sha256, refreshes.c.grant_id)
        )
        with unusable():
            async with self._database.write() as connection:
                rotated = (await connection.execute(statement)).first()
                if rotated is None:
                    return False
                parent = refreshes.c.sha256 == rotated.parent_sha256
                first_use = update(refreshes).where(parent, refreshes.c.succeeded_at.is_(None))
                await connection.execute(first_use.values(succeeded_at=now))
                added = sqlite.insert(refreshes).values(row_of(successor))
                await connection.execute(added.on_conflict_do_nothing())
                await _touch_grant(connection, rotated.grant_id, now)
                return True

    async def revoke_grant(self, grant_id: str, now: float) -> bool:
        with unusable():
            async with self._database.write() as connection:
                return await revoke(connection, grants.c.id == grant_id, now) > 0

    async def revoke_access_token(self, jti: str, *, until: float, now: float) -> None:
        if until > now:
            await self._write(insert(revocations).values(jti=jti, until=until))

    async def use_jti(self, client_id: str, jti: str, until: float) -> bool:
        row = sqlite.insert(jtis).values(client_id=client_id, jti=jti, until=until)
        return await self._write(row.on_conflict_do_nothing()) == 1

    async def touch_grant(self, grant_id: str, at: float) -> None:
        with unusable():
            async with self._database.write() as connection:
                await _touch_grant(connection, grant_id, at)

    async def collect_garbage(self, now: float) -> int:
        ended = (
            delete(requests).where(requests.c.expires_at <= now),
            delete(codes).where(codes.c.expires_at <= now - REPLAY_SECONDS),
            delete(refreshes).where(refreshes.c.expires_at <= now),
            delete(grants).where(grants.c.expires_at <= now),
            delete(revocations).where(revocations.c.until <= now),
            delete(jtis).where(jtis.c.until <= now),
        )
        with unusable():
            async with self._database.write() as connection:
                gone = [(await connection.execute(statement)).rowcount for statement in ended]
                return sum(gone) + await forget_unused(connection, now)

    async def _rows(self, query: Select[Any]) -> list[Any]:
        with unusable():
            async with self._database.read() as connection:
                return list(await connection.execute(query))

    async def _write(self, statement: Any) -> int:
        with unusable():
            async with self._database.write() as connection:
                count: int = (await connection.execute(statement)).rowcount
                return count


async def _touch_grant(connection: AsyncConnection, grant_id: str, at: float) -> None:
    await connection.execute(update(grants).where(grants.c.id == grant_id).values(last_used_at=at))


def _stands(table: Table, now: float) -> ColumnElement[bool]:
    """The grant that a code or token hangs off is neither revoked nor at its end."""
    return (
        select(literal(1))
        .where(grants.c.id == table.c.grant_id, grants.c.revoked_at.is_(None), grants.c.expires_at > now)
        .exists()
    )

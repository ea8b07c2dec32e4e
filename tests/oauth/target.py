"""What the fuzzing is aimed at, and what must hold of every answer to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from app.simulator import SigningKey
from tests.house import HOST, Clock, TestHouse, new_team, open_house

from . import flow
from .flow import Browser

PATIENCE = 10  # seconds
NOBODY = "nobody.invalid"  # the one host whose documents may be fetched: none


@dataclass
class Target:
    """A house in which somebody has a live code and live tokens.

    `asker`: the credentials of another client, one that has a secret.
    """

    house: TestHouse
    client: str
    asker: dict[str, str]
    values: dict[str, str] = field(default_factory=dict)
    until: float = 0.0
    number: int = 0

    async def holds(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes = b""
    ) -> httpx2.Response:
        """The answer. The property: in time, never a 5xx, and no refusal that changes what is kept."""
        await self.renew()
        before = flow.state_of(self.house)
        self.number += 1
        address = f"2001:db8:{self.number:x}::1".encode()  # so that none is limited
        sent = [(b"host", HOST.encode()), (b"cf-connecting-ip", address), *headers]
        async with asyncio.timeout(PATIENCE):
            reply = await self.house.http.request(
                method, f"{self.house.tunnel}{path}", headers=sent, content=body
            )
        assert reply.status_code < 500, (path, body, reply.text)
        assert "Traceback" not in reply.text
        if reply.status_code >= 400 or _refused_at_the_client(method, reply):
            assert flow.state_of(self.house) == before, (method, path, body, reply.text)
        elif path in ("/token", "/revoke"):
            self.until = 0.0
        return reply

    async def renew(self) -> None:
        """A code and tokens that are good now: a code lives for a minute, and one that was used is gone."""
        self.house.clock.advance(1)
        if self.house.clock() < self.until:
            return
        browser, client = Browser(self.house), {"client_id": self.client}
        given = await flow.tokens(browser, client)
        self.values = {
            "code": await flow.code_for(browser, client),
            "token": given["access_token"],
            "refresh_token": given["refresh_token"],
        }
        self.until = self.house.clock() + 50


def _refused_at_the_client(method: str, reply: httpx2.Response) -> bool:
    """Not by POST: then it is the person who said no, and that answers the question."""
    return method == "GET" and "error=" in reply.headers.get("location", "")


@asynccontextmanager
async def aimed_at(folder: Path, keys: tuple[SigningKey, SigningKey]) -> AsyncIterator[Target]:
    clock = Clock()
    team = new_team(clock, keys)
    async with open_house(folder, clock, team, OAUTH_ENABLED="true", OAUTH_ALLOWED_HOSTS=NOBODY) as house:
        client = await flow.register(house)
        other = await flow.register(house, token_endpoint_auth_method="client_secret_post")
        asker = {name: other[name] for name in ("client_id", "client_secret")}
        yield Target(house, client["client_id"], asker)

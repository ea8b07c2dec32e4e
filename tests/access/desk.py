"""A verifier and the look-up of whole identities behind it, against the stand-in team's own server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from app.access.claims import Identity, issuer_of
from app.access.identity import WholeIdentity, identity_url
from app.access.jwks import KeySet
from app.access.verifier import Verifier
from app.simulator import Application, Person, Running, SigningKey, Simulator, Team, running
from tests.house import TEAM, Clock, new_team

ALICE, BOB = "alice@example.com", "bob@example.com"


@dataclass
class Desk:
    """`wanted`: whether the policy names groups."""

    team: Team
    clock: Clock
    access: Running
    http: httpx2.AsyncClient
    verifier: Verifier
    wanted: bool = True

    def new(self, *, size: int = 100, timeout: float = 5.0, url: str = "") -> WholeIdentity:
        url = url or identity_url(self.access.certs_url)
        return WholeIdentity(
            url, self.http, self.clock, wanted=lambda: self.wanted, timeout=timeout, size=size
        )

    async def ask(self, whole: WholeIdentity, token: str) -> Identity:
        return await whole(token.encode(), await self.verifier(token.encode()))

    async def groups(self, whole: WholeIdentity, token: str) -> Set[str] | None:
        """All groups, or None where they are not known to be all."""
        who = (await self.ask(whole, token)).principal
        return who.groups if who.groups_complete else None

    def put(self, email: str, *groups: str) -> None:
        self.team.people[email] = Person(email, groups=groups)

    @property
    def requests(self) -> int:
        return self.team.identities.requests


@asynccontextmanager
async def open_desk(clock: Clock, keys: tuple[SigningKey, SigningKey]) -> AsyncIterator[Desk]:
    team = new_team(clock, keys)
    async with (
        running(Simulator(team, Application(origin="127.0.0.1:1", host="brain.example.com"))) as access,
        httpx2.AsyncClient(trust_env=False, follow_redirects=False) as http,
    ):
        certs = KeySet(access.certs_url, http, clock, None)
        verifier = Verifier(certs, issuer=issuer_of(TEAM), audiences=frozenset({team.aud}), now=clock)
        await certs.refresh()
        yield Desk(team, clock, access, http, verifier)


async def settled(whole: WholeIdentity) -> None:
    """The look-ups that run in the background have ended."""
    await asyncio.gather(*whole._asking.values())

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from app.access.claims import AssertionRefused, Identity, issuer_of
from app.access.jwks import KeySet
from app.access.verifier import Verifier
from app.simulator import Application, Running, SigningKey, Simulator, Team, running
from app.simulator.certs import CertsEndpoint
from tests.house import TEAM, Clock

from .desk import ALICE, Desk, open_desk


@dataclass
class Bench:
    """A verifier, its keys, and the server of the stand-in team that they are fetched from."""

    team: Team
    clock: Clock
    access: Running
    file: Path
    http: httpx2.AsyncClient
    keys: KeySet
    verifier: Verifier
    other: SigningKey

    @property
    def certs(self) -> CertsEndpoint:
        return self.team.certs

    def restart(self, *, url: str = "", cache_size: int = 10_000) -> None:
        """As after a restart of the process: what is on disk is all that is left."""
        self.keys = KeySet(url or self.access.certs_url, self.http, self.clock, self.file)
        self.verifier = Verifier(
            self.keys,
            issuer=issuer_of(TEAM),
            audiences=frozenset({self.team.aud}),
            now=self.clock,
            cache_size=cache_size,
        )

    async def who(self, token: str) -> Identity:
        return await self.verifier(token.encode())

    async def reason(self, token: str | bytes) -> str:
        """Why the token is refused."""
        with pytest.raises(AssertionRefused) as refused:
            await self.verifier(token if isinstance(token, bytes) else token.encode())
        return refused.value.reason

    async def fresh(self) -> None:
        """The fetch that runs in the background has ended; without one, this times out."""
        async with asyncio.timeout(2):
            while self.keys.age > 0:
                await self.http.get(self.access.access_url)  # anything that lets the loop turn


@pytest.fixture
async def bench(
    tmp_path: Path, clock: Clock, team: Team, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> AsyncIterator[Bench]:
    file = tmp_path / "access-certs.json"
    application = Application(origin="127.0.0.1:1", host="brain.example.com")
    async with (
        running(Simulator(team, application)) as access,
        httpx2.AsyncClient(trust_env=False, follow_redirects=False) as http,
    ):
        keys = KeySet(access.certs_url, http, clock, file)
        verifier = Verifier(keys, issuer=issuer_of(TEAM), audiences=frozenset({team.aud}), now=clock)
        yield Bench(team, clock, access, file, http, keys, verifier, signing_keys[2])


@pytest.fixture
async def desk(clock: Clock, signing_keys: tuple[SigningKey, SigningKey, SigningKey]) -> AsyncIterator[Desk]:
    async with open_desk(clock, signing_keys[:2]) as opened:
        opened.put(ALICE, "eng", "admins")
        yield opened

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest

from app.simulator import Application, Person, Running, ServiceToken, SigningKey, Simulator, Team, running
from app.simulator.server import LoopbackServer, address, listen

from .account import api, cloudflare, outside, tunnel
from .internet import account, client, connector, world
from .origin import Origin

__all__ = ["account", "api", "client", "cloudflare", "connector", "outside", "tunnel", "world"]

HOST = "brain.example.com"


class Clock:
    def __init__(self, at: float) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += seconds


@pytest.fixture(scope="session")
def keys() -> tuple[SigningKey, SigningKey, SigningKey]:
    return SigningKey.generate(), SigningKey.generate(), SigningKey.generate()


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000.0)


@pytest.fixture
def team(clock: Clock, keys: tuple[SigningKey, SigningKey, SigningKey]) -> Team:
    return Team(
        "acme",
        now=clock,
        people=[
            Person("alice@example.com", "Alice", ("family", "admins")),
            Person("bob@example.com"),
        ],
        service_tokens=[ServiceToken("nightly", "0123.access", "the-secret")],
        keys=keys[:2],
    )


@pytest.fixture
async def origin() -> AsyncIterator[tuple[Origin, str]]:
    app, bound = Origin(), listen("127.0.0.1", 0)
    server = await LoopbackServer.start(app, bound)
    yield app, address(bound)
    app.script.put_nowait(None)
    await server.stop()


@pytest.fixture
def application(origin: tuple[Origin, str]) -> Application:
    return Application(origin=origin[1], host=HOST, idle_seconds=5)


@pytest.fixture
async def run(team: Team, application: Application) -> AsyncIterator[Running]:
    async with running(Simulator(team, application)) as run:
        yield run


@pytest.fixture
async def edge(run: Running) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody on the internet, with no credential."""
    async with httpx2.AsyncClient(base_url=run.edge_url, trust_env=False) as client:
        yield client


@pytest.fixture
async def access(run: Running) -> AsyncIterator[httpx2.AsyncClient]:
    """Somebody who talks to the team's own address."""
    async with httpx2.AsyncClient(base_url=run.access_url, trust_env=False) as client:
        yield client


@pytest.fixture
def alice(team: Team) -> dict[str, str]:
    return {"cf-access-token": team.token("alice@example.com")}

"""The stand-in internet of a test, and somebody in it."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from app.simulator import Team
from app.simulator.world import World, open_world

from .cloud import TUNNEL, Account
from .connector import Connector, connecting

HOST = "brain.example.com"
AUD = "b" * 64


@pytest.fixture
def account() -> Account:
    account = Account(records={HOST: TUNNEL})
    account.add_tunnel()
    return account


@pytest.fixture
async def world(team: Team, account: Account, tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(team, account, tmp_path, at=time.time()) as world:
        yield world


@pytest.fixture
async def connector(world: World, account: Account) -> AsyncIterator[Connector]:
    async with connecting(world.tunnels.address, world.root.read_text()) as connector:
        await connector.register(TUNNEL, account.token())
        yield connector


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    async with somebody(world) as client:
        yield client


def somebody(world: World) -> httpx2.AsyncClient:
    """On the internet, with no credential."""
    proxy = httpx2.Proxy(f"http://{world.proxy}")
    trusting = ssl.create_default_context(cafile=str(world.root))
    base = f"https://{HOST}"
    return httpx2.AsyncClient(base_url=base, proxy=proxy, verify=trusting, trust_env=False, timeout=20)

"""A whole stand-in Cloudflare in a test: its API as anybody would call it, a tunnel, and somebody outside."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.simulator import Person
from app.simulator.cloudflare import Cloudflare, open_cloudflare

from .connector import Connector, connecting
from .internet import HOST, somebody

ALICE, BOB = "alice@example.com", "bob@example.com"


class Api:
    """The calls that set a tunnel up, as anybody would make them with the simulator's variables."""

    def __init__(self, variables: Mapping[str, str], http: httpx2.AsyncClient) -> None:
        self._http = http
        self._base = variables["CLOUDFLARE_API_BASE"]
        self._account = f"/accounts/{variables['CLOUDFLARE_ACCOUNT_ID']}"
        self._headers = {"authorization": f"Bearer {variables['CLOUDFLARE_API_TOKEN']}"}

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self._http.request(method, self._base + path, json=body, headers=self._headers)
        assert answer.is_success, answer.text
        return answer.json()["result"]

    async def ours(self, method: str, path: str, body: Any = None) -> Any:
        return await self.call(method, self._account + path, body)

    async def tunnel(self, service: str) -> tuple[str, str]:
        """A remotely managed tunnel of the hostname; its id and its token."""
        made = await self.ours("POST", "/cfd_tunnel", {"name": "brain", "config_src": "cloudflare"})
        rules = [{"hostname": HOST, "service": service}, {"service": "http_status:404"}]
        await self.ours("PUT", f"/cfd_tunnel/{made['id']}/configurations", {"config": {"ingress": rules}})
        return made["id"], await self.ours("GET", f"/cfd_tunnel/{made['id']}/token")

    async def name(self, tunnel_id: str) -> None:
        (zone,) = await self.call("GET", "/zones?name=example.com")
        target = {"type": "CNAME", "content": f"{tunnel_id}.cfargotunnel.com", "proxied": True, "ttl": 1}
        await self.call("POST", f"/zones/{zone['id']}/dns_records", {"name": HOST, **target})

    async def protect(self, domain: str, decision: str, *include: Any, **more: Any) -> Any:
        rules = {"name": f"{decision} {domain}", "decision": decision, "include": list(include)}
        policy = await self.ours("POST", "/access/policies", rules)
        link = [{"id": policy["id"], "precedence": 1}]
        application = {"type": "self_hosted", "name": domain, "domain": domain, "policies": link, **more}
        return await self.ours("POST", "/access/apps", application)


@pytest.fixture
async def cloudflare(tmp_path: Path) -> AsyncIterator[Cloudflare]:
    people = [Person(ALICE, groups=("family",)), Person(BOB)]
    async with open_cloudflare(tmp_path, now=time.time, people=people) as cloudflare:
        yield cloudflare


@pytest.fixture
async def api(cloudflare: Cloudflare) -> AsyncIterator[Api]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        yield Api(cloudflare.environment(), http)


@pytest.fixture
async def outside(cloudflare: Cloudflare) -> AsyncIterator[httpx2.AsyncClient]:
    async with somebody(cloudflare.world) as client:
        yield client


@pytest.fixture
async def tunnel(cloudflare: Cloudflare, api: Api) -> AsyncIterator[tuple[str, Connector]]:
    """A tunnel with a name and a connector."""
    tunnel_id, token = await api.tunnel("http://127.0.0.1:1")
    await api.name(tunnel_id)
    world = cloudflare.world
    async with connecting(world.tunnels.address, world.root.read_text()) as connector:
        await connector.register(tunnel_id, token)
        yield tunnel_id, connector


async def reached(client: httpx2.AsyncClient, connector: Connector, path: str = "/mcp", **more: Any) -> None:
    asking = asyncio.create_task(client.get(path, **more))
    connector.answer(await asyncio.wait_for(connector.requests.get(), 5), 200, [], b"origin")
    assert (await asking).content == b"origin"

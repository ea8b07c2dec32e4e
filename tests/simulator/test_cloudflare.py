"""What is set up over the stand-in API is at once what the stand-in edge does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.simulator import Person
from app.simulator.cloudflare import Cloudflare, open_cloudflare
from tests.audit.waiting import until

from .connector import Connector, connecting
from .internet import HOST, somebody

ALICE, BOB = "alice@example.com", "bob@example.com"


class Api:
    """The calls that set a tunnel up, as anybody would make them."""

    def __init__(self, cloudflare: Cloudflare, http: httpx2.AsyncClient) -> None:
        variables = cloudflare.environment()
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
        yield Api(cloudflare, http)


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


async def test_a_name_a_tunnel_and_a_connector_are_all_that_a_request_needs(
    outside: httpx2.AsyncClient, tunnel: tuple[str, Connector]
) -> None:
    await reached(outside, tunnel[1])
    await until(lambda: len(tunnel[1].configurations) == 1)
    assert tunnel[1].configurations[0]["config"]["ingress"][0]["hostname"] == HOST


async def test_until_there_is_a_record_there_is_no_such_host(outside: httpx2.AsyncClient, api: Api) -> None:
    with pytest.raises(httpx2.ProxyError, match="502"):
        await outside.get("/")
    tunnel_id, _token = await api.tunnel("http://127.0.0.1:1")
    await api.name(tunnel_id)
    assert (await outside.get("/")).text == "error code: 1033"


async def test_an_application_made_over_the_api_is_enforced_at_once_and_so_is_its_end(
    outside: httpx2.AsyncClient, api: Api, tunnel: tuple[str, Connector], cloudflare: Cloudflare
) -> None:
    application = await api.protect(HOST, "allow", {"email": {"email": ALICE}})
    team = cloudflare.world.team
    answer = await outside.get("/mcp")
    assert answer.headers["location"].startswith(f"{team.issuer}/cdn-cgi/access/login/{HOST}?")
    assert f"kid={application['aud']}" in answer.headers["location"]
    assert (await outside.post(answer.headers["location"], data={"email": BOB})).status_code == 403
    await reached(
        outside, tunnel[1], headers={"cf-access-token": team.token(ALICE, aud=[application["aud"]])}
    )
    await api.protect(f"{HOST}/.well-known", "bypass", {"everyone": {}})
    await reached(outside, tunnel[1], "/.well-known/oauth-protected-resource")
    assert (await outside.get("/mcp")).status_code == 302
    await api.ours("DELETE", f"/access/apps/{application['id']}")
    await reached(outside, tunnel[1])


async def test_a_group_of_the_account_is_asked_in_the_place_of_its_id(
    outside: httpx2.AsyncClient, api: Api, tunnel: tuple[str, Connector], cloudflare: Cloudflare
) -> None:
    group = {
        "id": "family-id",
        "name": "family",
        "include": [{"email_domain": {"domain": "example.com"}}],
        "exclude": [{"email": {"email": BOB}}],
    }
    cloudflare.account.groups.put(group)
    await api.protect(HOST, "allow", {"group": {"id": group["id"]}})
    login = (await outside.get("/")).headers["location"]
    assert (await outside.post(login, data={"email": BOB})).status_code == 403
    assert (await outside.post(login, data={"email": ALICE})).status_code == 303


async def test_a_service_token_of_the_account_passes_until_it_is_rotated_away(
    outside: httpx2.AsyncClient, api: Api, tunnel: tuple[str, Connector]
) -> None:
    made = await api.ours("POST", "/access/service_tokens", {"name": "nightly"})
    rule = {"service_token": {"token_id": made["id"]}}
    await api.protect(HOST, "non_identity", rule, service_auth_401_redirect=True)
    program = {"cf-access-client-id": made["client_id"], "cf-access-client-secret": made["client_secret"]}
    await reached(outside, tunnel[1], headers=program)
    outside.cookies.clear()
    await api.ours("POST", f"/access/service_tokens/{made['id']}/rotate")
    assert (await outside.get("/mcp", headers=program)).status_code == 401


async def test_managed_oauth_switched_on_over_the_api_answers_at_the_edge(
    outside: httpx2.AsyncClient, api: Api, tunnel: tuple[str, Connector], cloudflare: Cloudflare
) -> None:
    await api.protect(HOST, "allow", {"email": {"email": ALICE}}, oauth_configuration={"enabled": True})
    answer = await outside.post("/mcp")
    assert (answer.status_code, answer.headers["www-authenticate"].split()[0]) == (401, "Bearer")
    document = (await outside.get("/.well-known/oauth-authorization-server")).json()
    assert document["issuer"] == cloudflare.world.team.issuer


async def test_the_api_tells_who_is_connected_and_can_end_it(api: Api, tunnel: tuple[str, Connector]) -> None:
    tunnel_id, connector = tunnel
    (shown,) = await api.ours("GET", f"/cfd_tunnel/{tunnel_id}/connections")
    assert (shown["client_version"], shown["is_pending_reconnect"]) == ("test", False)
    assert (await api.ours("GET", f"/cfd_tunnel/{tunnel_id}"))["status"] == "healthy"
    await api.ours("DELETE", f"/cfd_tunnel/{tunnel_id}/connections")
    await asyncio.wait_for(connector.gone.wait(), 5)
    assert (await api.ours("GET", f"/cfd_tunnel/{tunnel_id}"))["status"] == "inactive"


async def test_a_tunnel_deleted_over_the_api_loses_its_connections(
    api: Api, tunnel: tuple[str, Connector], outside: httpx2.AsyncClient
) -> None:
    tunnel_id, connector = tunnel
    await api.ours("DELETE", f"/cfd_tunnel/{tunnel_id}?cascade=true")
    await asyncio.wait_for(connector.gone.wait(), 5)
    assert (await outside.get("/")).text == "error code: 1033"

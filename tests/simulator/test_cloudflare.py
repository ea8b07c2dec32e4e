"""What is set up over the stand-in API is at once what the stand-in edge does."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from app.simulator.cloudflare import Cloudflare
from tests.audit.waiting import until

from .account import ALICE, BOB, Api, reached
from .connector import Connector
from .internet import HOST


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

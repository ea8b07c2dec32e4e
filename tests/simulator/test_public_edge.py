"""The public side: what has a name, who is asked to log in, and what is broken on purpose."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from email.utils import parsedate_to_datetime

import httpx2
import pytest

from app.simulator import Team
from app.simulator.world import World

from .cloud import TUNNEL, Account, allow, bypass, service_auth
from .connector import Asked, Connector
from .internet import AUD, HOST

ALICE, BOB = "alice@example.com", "bob@example.com"
NIGHTLY = {"cf-access-client-id": "0123.access", "cf-access-client-secret": "the-secret"}


@pytest.fixture
def team(team: Team) -> Team:
    (token,) = team.service_tokens.values()
    team.service_tokens = {token.client_id: replace(token, id="nightly-id")}
    return team


async def reached(
    client: httpx2.AsyncClient, connector: Connector, path: str = "/mcp", **more: object
) -> Asked:
    """The request as it reached the tunnel."""
    asking = asyncio.create_task(client.get(path, **more))  # type: ignore[arg-type]
    asked = await asyncio.wait_for(connector.requests.get(), 5)
    connector.answer(asked, 200, [], b"origin")
    assert (await asking).content == b"origin"
    return asked


async def stopped(client: httpx2.AsyncClient, path: str = "/mcp", **headers: str) -> httpx2.Response:
    """The edge's own answer. It would hang, and fail by its time limit, if the request went on."""
    return await client.get(path, headers=headers)


# Names


async def test_a_name_without_a_record_does_not_exist(client: httpx2.AsyncClient) -> None:
    with pytest.raises(httpx2.ProxyError, match="502"):
        await client.get("https://nobody.example.com/")


async def test_a_name_of_the_real_internet_is_not_reached(client: httpx2.AsyncClient) -> None:
    for elsewhere in ("https://example.org/", "https://notexample.com/", f"https://{HOST}:8443/"):
        with pytest.raises(httpx2.ProxyError, match="403"):
            await client.get(elsewhere)


async def test_plain_http_is_not_carried(client: httpx2.AsyncClient) -> None:
    assert (await client.get(f"http://{HOST}/")).status_code == 405


async def test_a_name_deeper_than_the_certificate_fails_its_handshake(
    account: Account, client: httpx2.AsyncClient
) -> None:
    account.records["a.b.example.com"] = TUNNEL
    with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        await client.get("https://a.b.example.com/")


async def test_who_does_not_know_the_authority_does_not_trust_it(world: World) -> None:
    proxy = httpx2.Proxy(f"http://{world.proxy}")
    async with httpx2.AsyncClient(
        proxy=proxy, verify=ssl.create_default_context(), trust_env=False
    ) as anyone:
        with pytest.raises(httpx2.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await anyone.get(f"https://{HOST}/")


async def test_another_host_than_the_name_asked_for_needs_a_record_too(
    client: httpx2.AsyncClient, connector: Connector
) -> None:
    assert (await stopped(client, host="nobody.example.com")).text == "error code: 1001"


async def test_the_team_publishes_its_keys_on_its_own_domain(client: httpx2.AsyncClient, team: Team) -> None:
    keys = (await client.get(f"{team.issuer}/cdn-cgi/access/certs")).json()["keys"]
    assert [key["kid"] for key in keys] == [team.current.kid, team.previous.kid]
    assert (await client.get(f"{team.issuer}/")).status_code == 404


# Access


async def test_a_hostname_without_an_application_is_open(
    client: httpx2.AsyncClient, connector: Connector
) -> None:
    asked = await reached(client, connector, headers={"cf-access-jwt-assertion": "forged"})
    assert asked.headers[b"cf-access-jwt-assertion"] == b"forged"


async def test_an_application_is_in_force_from_the_next_request(
    client: httpx2.AsyncClient, connector: Connector, account: Account
) -> None:
    await reached(client, connector)
    account.protect(HOST, AUD, allow(ALICE))
    answer = await stopped(client)
    assert answer.status_code == 302
    assert answer.headers["location"].startswith(
        f"https://acme.cloudflareaccess.com/cdn-cgi/access/login/{HOST}?kid={AUD}&"
    )
    account.access.clear()
    await reached(client, connector)


async def test_a_person_whom_a_policy_allows_logs_in(
    client: httpx2.AsyncClient, connector: Connector, account: Account, team: Team
) -> None:
    account.protect(HOST, AUD, allow(ALICE))
    login = (await stopped(client, "/page?x=1")).headers["location"]
    assert (await client.get(login)).status_code == 200
    authorized = (await client.post(login, data={"email": ALICE})).headers["location"]
    arrived = await client.get(authorized)
    assert arrived.headers["location"] == "/page?x=1"
    asked = await reached(client, connector, "/page?x=1")
    claims = team.verified(asked.headers[b"cf-access-jwt-assertion"].decode(), AUD) or {}
    assert (claims["email"], claims["aud"]) == (ALICE, [AUD])
    assert asked.headers[b"cf-access-authenticated-user-email"] == ALICE.encode()


async def test_a_person_whom_no_policy_allows_does_not_get_past_the_login(
    client: httpx2.AsyncClient, account: Account
) -> None:
    account.protect(HOST, AUD, allow(ALICE))
    login = (await stopped(client)).headers["location"]
    assert (await client.post(login, data={"email": BOB})).status_code == 403
    assert not client.cookies


async def test_a_token_for_another_application_is_not_accepted(
    client: httpx2.AsyncClient, account: Account, team: Team
) -> None:
    account.protect(HOST, AUD, allow(ALICE))
    for other in (team.token(ALICE), team.token(ALICE, aud=["c" * 64]), "not.a.token"):
        assert (await stopped(client, **{"cf-access-token": other})).status_code == 302


async def test_a_service_token_passes_service_auth_alone(
    client: httpx2.AsyncClient, connector: Connector, account: Account, team: Team
) -> None:
    application = account.protect(HOST, AUD, allow(ALICE), service_auth("nightly-id"))
    application.service_auth_401_redirect = True
    asked = await reached(client, connector, headers=NIGHTLY)
    claims = team.verified(asked.headers[b"cf-access-jwt-assertion"].decode(), AUD) or {}
    assert claims["common_name"] == "0123.access"
    client.cookies.clear()
    application.policies = (allow(ALICE), service_auth("another-id"))
    assert (await stopped(client, **NIGHTLY)).status_code == 401


async def test_an_allow_policy_that_names_a_service_token_does_not_let_it_in(
    client: httpx2.AsyncClient, account: Account
) -> None:
    rule = service_auth("nightly-id")
    account.protect(HOST, AUD, replace(rule, decision="allow"))
    assert (await stopped(client, **NIGHTLY)).status_code == 302


async def test_the_most_specific_path_decides_and_nothing_is_inherited(
    client: httpx2.AsyncClient, connector: Connector, account: Account
) -> None:
    account.protect(HOST, AUD, allow(ALICE))
    account.protect(f"{HOST}/.well-known/*", "c" * 64, bypass())
    account.protect(f"{HOST}/mcp", "d" * 64, bypass())
    for open_path in ("/.well-known/x", "/mcp", "/mcp/"):
        await reached(client, connector, open_path)
    for closed in ("/", "/authorize", "/.well-known", "/mcpx"):
        assert (await stopped(client, closed)).status_code == 302


async def test_a_preflight_passes_only_where_the_application_says_so(
    client: httpx2.AsyncClient, connector: Connector, account: Account
) -> None:
    application = account.protect(HOST, AUD, allow(ALICE))
    preflight = {"access-control-request-method": "POST", "origin": "https://claude.ai"}
    assert (await client.options("/mcp", headers=preflight)).status_code == 403
    application.options_preflight_bypass = True
    asking = asyncio.create_task(client.options("/mcp", headers=preflight))
    connector.answer(await asyncio.wait_for(connector.requests.get(), 5), 204, [], b"")
    assert (await asking).status_code == 204


async def test_access_is_asked_before_the_tunnel(client: httpx2.AsyncClient, account: Account) -> None:
    account.protect(HOST, AUD, allow(ALICE))
    assert (await stopped(client)).status_code == 302
    account.access.clear()
    assert (await stopped(client)).status_code == 530


# Faults


async def test_a_bot_rule_answers_its_user_agents_before_access(
    world: World, client: httpx2.AsyncClient, connector: Connector
) -> None:
    world.edge.faults.challenged_agents = ("Claude-User",)
    world.edge.faults.blocked_agents = ("python-httpx",)
    challenged = await stopped(client, **{"user-agent": "Mozilla/5.0 (Claude-User/1.0)"})
    assert (challenged.status_code, challenged.headers["cf-mitigated"]) == (403, "challenge")
    blocked = await stopped(client)
    assert (blocked.status_code, blocked.text) == (403, "error code: 1010")
    assert "cf-mitigated" not in blocked.headers
    await reached(client, connector, headers={"user-agent": "node"})


async def test_every_answer_has_the_date_of_the_edges_clock(
    world: World, client: httpx2.AsyncClient, connector: Connector, team: Team
) -> None:
    def ahead(answer: httpx2.Response) -> float:
        return parsedate_to_datetime(answer.headers["date"]).timestamp() - team.now()

    asking = asyncio.create_task(client.get("/"))
    asked = await asyncio.wait_for(connector.requests.get(), 5)
    connector.answer(asked, 200, [(b"Date", b"Thu, 01 Jan 1970 00:00:00 GMT")], b"")
    assert ahead(await asking) == 0
    world.edge.faults.skew_seconds = 300
    assert ahead(await client.get(f"{team.issuer}/cdn-cgi/access/certs")) == 300


async def test_an_error_of_the_edge_comes_in_the_origins_place(
    world: World, client: httpx2.AsyncClient, connector: Connector, account: Account
) -> None:
    world.edge.faults.status = 502
    assert (await stopped(client)).status_code == 502
    account.protect(HOST, AUD, allow(ALICE))
    assert (await stopped(client)).status_code == 302
    assert connector.requests.empty()

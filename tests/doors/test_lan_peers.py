"""Who may knock at the LAN door: peers of the LAN, and nothing that came through an edge or a proxy."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from app.simulator import Team
from tests.house import HOST, Clock, TestHouse, open_house

from .raw import post, send

pytestmark = pytest.mark.asyncio(loop_scope="module")

EDGE = [
    "Cf-Ray: 8f2a",
    "CF-Connecting-IP: 192.168.1.5",
    "CF-Connecting-IPv6: ::1",
    "CF-Pseudo-IPv4: 10.0.0.1",
    "Cf-Access-Jwt-Assertion: abc",
    "Cf-Access-Authenticated-User-Email: alice@example.com",
    "Cf-Access-Client-Id: x.access",
    "Cf-Visitor: {}",
    "Cf-Ipcountry: US",
    "Cf-Worker: evil.example",
    "Cf-Warp-Tag-Id: 1",
    "Cdn-Loop: cloudflare",
    "cf_ray: 8f2a",
    "CF_Connecting_IP: 10.0.0.1",
    "Cf_Access-Jwt_Assertion: abc",
    "cdn_loop: cloudflare",
    "CF-RAY:",
]
PROXY = [
    "X-Forwarded-For: 192.168.1.5",
    "X-Forwarded-Proto: https",
    "X-Forwarded-Host: localhost",
    "X-Forwarded-Port: 443",
    "X-Forwarded-Prefix: /x",
    "X-Forwarded-Uri: /healthz",
    "Forwarded: for=192.168.1.5",
    "X_Forwarded_For: 192.168.1.5",
    "x-forwarded_proto: https",
    "X_FORWARDED-HOST: localhost",
    "X-Forwarded-Anything: x",
]


async def refusals(house: TestHouse, *headers: str) -> set[tuple[int, str]]:
    targets = [("POST", "/mcp"), ("GET", "/healthz"), ("GET", "/metrics"), ("GET", "/nothing")]
    replies = await asyncio.gather(
        *(
            send(house.lan, post("localhost", *headers, method=method, target=path))
            for method, path in targets
        )
    )
    return {(reply.status, reply.error) for reply in replies}


async def test_any_header_of_an_edge_or_a_proxy_alone_is_a_misrouted_request(standing: TestHouse) -> None:
    for header in EDGE + PROXY:
        assert (header, await refusals(standing, header)) == (header, {(421, "misrouted")})


async def test_even_a_good_assertion_is_misrouted_here(standing: TestHouse) -> None:
    reply = await send(standing.lan, post("localhost", f"Cf-Access-Jwt-Assertion: {standing.team.token()}"))
    assert (reply.status, reply.error) == (421, "misrouted")
    reply = await send(standing.lan, post(HOST, f"Cf-Access-Jwt-Assertion: {standing.team.token()}"))
    assert reply.status == 421


async def test_a_misrouted_request_leaves_a_trace_in_the_metrics(standing: TestHouse) -> None:
    before = await misrouted(standing)
    await send(standing.lan, post("localhost", "Cf-Ray: 8f2a"))
    assert await misrouted(standing) == before + 1


async def misrouted(house: TestHouse) -> float:
    text = (await house.lan_request(path="/metrics")).text
    _, _, count = text.partition('decision="refuse",door="lan",operation="door",reason="misrouted"} ')
    return float(count.split()[0]) if count else 0.0


async def test_a_proxy_of_ones_own_may_forward_but_is_not_believed(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with open_house(tmp_path, clock, team, LAN_PROXIES="127.0.0.1") as house:
        for header in PROXY:
            reply = await send(house.lan, post("localhost", header))
            assert (header, reply.status) == (header, 200)
        for header in EDGE:
            assert (header, await refusals(house, header)) == (header, {(421, "misrouted")})
        reply = await send(house.lan, post("evil.example", "X-Forwarded-Host: localhost"))
        assert reply.error == "wrong_host"


async def test_who_is_not_that_proxy_may_not_forward(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with open_house(tmp_path, clock, team, LAN_PROXIES="10.9.8.7") as house:
        for header in PROXY:
            assert await refusals(house, header) == {(421, "misrouted")}


@pytest.mark.parametrize("proxies", ["", "127.0.0.1"])
async def test_a_peer_outside_the_networks_gets_nothing_whatever_it_claims(
    proxies: str, tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with open_house(tmp_path, clock, team, LAN_NETWORKS="10.0.0.0/8", LAN_PROXIES=proxies) as house:
        assert await refusals(house) == {(403, "forbidden")}
        claimed = await refusals(house, "X-Forwarded-For: 10.0.0.1", "Forwarded: for=10.0.0.1")
        assert claimed == {(403, "forbidden") if proxies else (421, "misrouted")}
        assert await refusals(house, "X-Real-Ip: 10.0.0.1") == {(403, "forbidden")}


async def test_a_refusal_says_what_to_do_in_json_and_is_never_cached(standing: TestHouse) -> None:
    reply = await send(standing.lan, post("brain.lan"))
    assert reply.header("content-type") == "application/json"
    assert reply.header("cache-control") == "no-store"
    assert reply.header("x-request-id")
    assert b"LAN_HOSTS=brain.lan" in reply.body

"""Client → public edge → a real cloudflared → an origin that says what it received."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from app.simulator.world import World
from tests.audit.waiting import until
from tests.house import HOST
from tests.simulator.cloud import TUNNEL, Account
from tests.simulator.origin import Origin, Seen

from .cloudflared import Cloudflared, connected, starting

SOON = 5.0
"""A bound for what must happen, never a wait."""


@pytest.fixture
async def cloudflared(
    world: World, account: Account, origin: tuple[Origin, str], tmp_path: Path
) -> AsyncIterator[Cloudflared]:
    account.route(**{HOST.replace(".", "_"): origin[1]})
    async with connected(world, tmp_path / "one", TUNNEL, account.token()) as cloudflared:
        yield cloudflared


@pytest.fixture
def script(origin: tuple[Origin, str]) -> Origin:
    return origin[0]


async def next_of(stream: AsyncIterator[bytes]) -> bytes:
    return await asyncio.wait_for(anext(stream), SOON)


async def events(client: httpx2.AsyncClient, script: Origin) -> tuple[httpx2.Response, AsyncIterator[bytes]]:
    """A stream after its first event, which must come at once."""
    script.script.put_nowait(b"data: 1\n\n")
    asking = client.send(client.build_request("GET", "/events"), stream=True)
    answer = await asyncio.wait_for(asking, SOON)
    stream = answer.aiter_raw()
    assert await next_of(stream) == b"data: 1\n\n"
    return answer, stream


async def test_a_request_arrives_with_what_the_edge_and_cloudflared_add(
    client: httpx2.AsyncClient, cloudflared: Cloudflared, world: World
) -> None:
    answer = await client.post("/a%2Fb?q=%20", content=b"x" * 3_000_000, headers={"cookie": "a=1"})
    request = Seen(answer.json())
    (there,) = world.tunnels.connections(TUNNEL)
    assert (request.method, request.raw_path, request.query) == ("POST", "/a%2Fb", "q=%20")
    assert request.body_size == 3_000_000
    assert request.one("host") == HOST
    assert request.one("cf-warp-tag-id") == there.registration.connector_id
    assert request.one("x-forwarded-proto") == "https"
    assert request.one("cookie") == "a=1"
    assert answer.headers.get_list("set-cookie") == ["one=1", "two=2"]
    assert await cloudflared.ready() == 200


async def test_headers_over_60_kilobytes_reach_the_origin(
    client: httpx2.AsyncClient, cloudflared: Cloudflared
) -> None:
    large = "x" * 60_000
    assert Seen((await client.get("/", headers={"x-large": large})).json()).one("x-large") == large


async def test_events_pass_one_by_one_and_a_client_that_leaves_is_gone_for_the_origin(
    client: httpx2.AsyncClient, cloudflared: Cloudflared, script: Origin
) -> None:
    answer, stream = await events(client, script)
    script.script.put_nowait(b": still here\n\n")
    assert await next_of(stream) == b": still here\n\n"
    await answer.aclose()
    await asyncio.wait_for(script.left.wait(), SOON)


async def test_a_client_that_leaves_before_any_answer_is_gone_for_the_origin(
    client: httpx2.AsyncClient, cloudflared: Cloudflared, script: Origin
) -> None:
    asking = asyncio.create_task(client.post("/silent", content=b"{}"))
    await asyncio.wait_for(script.started.wait(), SOON)
    asking.cancel()
    await asyncio.wait_for(script.left.wait(), SOON)


async def test_a_new_configuration_changes_where_requests_go(
    client: httpx2.AsyncClient, cloudflared: Cloudflared, world: World, account: Account
) -> None:
    assert (await client.get("/")).status_code == 200
    account.configure([{"service": "http_status:418"}])
    (there,) = world.tunnels.connections(TUNNEL)
    await until(lambda: len(there.pushed) == 2)
    assert there.pushed[-1] == {"lastAppliedVersion": 2, "err": None}
    assert (await client.get("/")).status_code == 418


async def test_a_configuration_that_cloudflared_cannot_use_leaves_the_old_one(
    client: httpx2.AsyncClient, cloudflared: Cloudflared, world: World, account: Account
) -> None:
    account.configure([{"hostname": HOST, "service": "http://127.0.0.1:1"}])
    (there,) = world.tunnels.connections(TUNNEL)
    await until(lambda: len(there.pushed) == 2)
    assert there.pushed[-1]["lastAppliedVersion"] == 1
    assert there.pushed[-1]["err"] is not None
    assert "The last ingress rule must match all URLs" in cloudflared.said()
    assert (await client.get("/")).status_code == 200


async def test_sigterm_drains_and_nothing_new_is_sent(
    client: httpx2.AsyncClient, cloudflared: Cloudflared, script: Origin, world: World
) -> None:
    _answer, stream = await events(client, script)
    (there,) = world.tunnels.connections(TUNNEL)
    cloudflared.stop()
    await until(lambda: there.registration.draining)
    assert (await client.get("/")).status_code == 530
    script.script.put_nowait(b"data: 2\n\n")
    assert await next_of(stream) == b"data: 2\n\n"
    script.script.put_nowait(None)
    assert [chunk async for chunk in stream] == []
    assert await cloudflared.ended() == 0
    assert world.tunnels.connections(TUNNEL) == []


async def test_with_nothing_under_way_sigterm_ends_it_at_once(
    world: World, account: Account, tmp_path: Path
) -> None:
    async with connected(world, tmp_path / "one", TUNNEL, account.token(), grace="2m") as running:
        running.stop()
        assert await running.ended() == 0  # long before its grace is over


async def test_two_connectors_share_a_tunnel_and_one_goes_without_a_gap(
    client: httpx2.AsyncClient, cloudflared: Cloudflared, world: World, account: Account, tmp_path: Path
) -> None:
    async with connected(world, tmp_path / "two", TUNNEL, account.token()):
        seen = {Seen((await client.get("/")).json()).one("cf-warp-tag-id") for _ in range(4)}
        assert len(seen) == 2
        cloudflared.stop()
        await until(lambda: len(world.tunnels.connections(TUNNEL)) == 1)
        assert [(await client.get("/")).status_code for _ in range(4)] == [200] * 4
        assert await cloudflared.ended() == 0


async def test_a_killed_connector_is_noticed(
    client: httpx2.AsyncClient, cloudflared: Cloudflared, world: World
) -> None:
    cloudflared.process.kill()
    await until(lambda: not world.tunnels.connections(TUNNEL))
    assert (await client.get("/")).text == "error code: 1033"


async def test_a_connection_that_breaks_is_made_again(
    client: httpx2.AsyncClient, cloudflared: Cloudflared, world: World
) -> None:
    (there,) = world.tunnels.connections(TUNNEL)
    there.cut()
    # With one edge address cloudflared waits up to 20 s, at random, before it tries again.
    await until(lambda: world.tunnels.connections(TUNNEL) not in ([], [there]), 40)
    (again,) = world.tunnels.connections(TUNNEL)
    await until(lambda: bool(again.pushed))
    assert (await client.get("/")).status_code == 200


async def test_an_origin_that_is_down_is_502(
    client: httpx2.AsyncClient, cloudflared: Cloudflared, world: World, account: Account
) -> None:
    account.configure([{"service": "http://127.0.0.1:1"}])
    (there,) = world.tunnels.connections(TUNNEL)
    await until(lambda: len(there.pushed) == 2)
    assert (await client.get("/")).status_code == 502


async def test_a_wrong_secret_is_refused_and_cloudflared_says_so(
    world: World, account: Account, tmp_path: Path
) -> None:
    """It keeps trying for a while: to it, the edge may not have heard of the tunnel yet."""
    wrong = account.token(secret=base64.b64encode(b"guessed" * 5).decode())
    async with starting(world.environment(), tmp_path / "wrong", wrong) as cloudflared:
        await until(lambda: len(world.tunnels.refusals) == 1, 20)
        await until(lambda: "Unauthorized: Invalid tunnel secret" in cloudflared.said())
        assert await cloudflared.ready() == 503
    assert world.tunnels.connections(TUNNEL) == []


async def test_a_locally_managed_tunnel_reports_its_rules(
    client: httpx2.AsyncClient, world: World, account: Account, origin: tuple[Origin, str], tmp_path: Path
) -> None:
    rules = {"ingress": [{"hostname": HOST, "service": origin[1]}, {"service": "http_status:404"}]}
    async with connected(world, tmp_path / "local", TUNNEL, account.token(), configuration=rules):
        (there,) = world.tunnels.connections(TUNNEL)
        await until(lambda: there.registration.local_configuration is not None)
        reported = there.registration.local_configuration or {}
        assert [rule["service"] for rule in reported["ingress"]] == [origin[1], "http_status:404"]
        assert (await client.get("/")).status_code == 200

"""The side that cloudflared connects to, asked by a connector of the tests' own."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator

import httpx2
import pytest

from app.simulator.world import World
from tests.audit.waiting import until

from .cloud import TUNNEL, Account
from .connector import Asked, Connector, Refused, connecting
from .internet import HOST

SOON = 5.0
"""A bound for what must happen, never a wait."""
EVENTS = [(b"Content-Type", b"text/event-stream")]
OTHER = "00000000-0000-4000-8000-000000000001"


async def next_of(stream: AsyncIterator[bytes]) -> bytes:
    return await asyncio.wait_for(anext(stream), SOON)


async def whole(connector: Connector) -> Asked:
    asked = await asyncio.wait_for(connector.requests.get(), SOON)
    await asyncio.wait_for(asked.whole.wait(), SOON)
    return asked


async def streaming(client: httpx2.AsyncClient, path: str = "/events") -> httpx2.Response:
    return await client.send(client.build_request("GET", path), stream=True)


async def test_a_request_goes_through_the_tunnel_and_its_answer_comes_back_byte_for_byte(
    client: httpx2.AsyncClient, connector: Connector
) -> None:
    asking = asyncio.create_task(client.post("/a%2Fb?q=1", content=b"x" * 200_000))
    asked = await whole(connector)
    assert asked.headers[b":authority"] == HOST.encode()
    assert asked.headers[b":path"] == b"/a%2Fb?q=1"
    assert asked.headers[b"content-length"] == b"200000"
    assert len(asked.body) == 200_000
    connector.answer(asked, 201, [(b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2")], b"hello")
    answer = await asking
    assert (answer.status_code, answer.content) == (201, b"hello")
    assert answer.headers.get_list("set-cookie") == ["a=1", "b=2"]


async def test_the_edge_says_who_asks_and_no_client_says_it_for_it(
    client: httpx2.AsyncClient, connector: Connector
) -> None:
    lies = {"cf-connecting-ip": "192.0.2.1", "cf-cloudflared-proxy-src": "x", "cf-warp-tag-id": "x"}
    asking = asyncio.create_task(client.get("/", headers=lies))
    asked = await whole(connector)
    connector.answer(asked, 200, [], b"")
    await asking
    assert asked.headers[b"cf-connecting-ip"] == b"127.0.0.1"
    assert asked.headers[b"x-forwarded-proto"] == b"https"
    assert {b"cf-cloudflared-proxy-src", b"cf-warp-tag-id"}.isdisjoint(asked.headers)


async def test_large_headers_pass_in_both_directions(
    client: httpx2.AsyncClient, connector: Connector
) -> None:
    large = "x" * 60_000
    asking = asyncio.create_task(client.get("/", headers={"x-large": large}))
    asked = await whole(connector)
    assert asked.headers[b"x-large"] == large.encode()
    connector.answer(asked, 200, [(b"X-Larger", b"y" * 100_000)], b"")
    assert len((await asking).headers["x-larger"]) == 100_000


async def test_events_pass_one_by_one_as_they_are_sent(
    client: httpx2.AsyncClient, connector: Connector
) -> None:
    opening = asyncio.create_task(streaming(client))
    asked = await whole(connector)
    connector.answer(asked, 200, EVENTS, b"data: 1\n\n", more=True)
    answer = await asyncio.wait_for(opening, SOON)
    stream = answer.aiter_raw()
    assert await next_of(stream) == b"data: 1\n\n"
    connector.send(asked, b"data: 2\n\n", more=True)
    assert await next_of(stream) == b"data: 2\n\n"
    connector.send(asked, b"")
    assert [chunk async for chunk in stream] == []


async def test_a_client_that_leaves_resets_its_stream_and_no_other(
    client: httpx2.AsyncClient, connector: Connector
) -> None:
    opening = asyncio.create_task(streaming(client))
    left = await whole(connector)
    connector.answer(left, 200, EVENTS, b"data: 1\n\n", more=True)
    answer = await opening
    staying = asyncio.create_task(client.get("/"))
    kept = await whole(connector)
    await answer.aclose()
    await asyncio.wait_for(left.cancelled.wait(), SOON)
    assert not kept.cancelled.is_set()
    connector.answer(kept, 200, [], b"here")
    assert (await staying).content == b"here"


async def test_a_client_that_leaves_before_any_answer_resets_its_stream(
    client: httpx2.AsyncClient, connector: Connector
) -> None:
    asking = asyncio.create_task(client.post("/", content=b"{}"))
    asked = await whole(connector)
    asking.cancel()
    await asyncio.wait_for(asked.cancelled.wait(), SOON)


async def test_an_answer_larger_than_every_window_arrives_whole(
    client: httpx2.AsyncClient, connector: Connector
) -> None:
    asking = asyncio.create_task(client.get("/"))
    asked = await whole(connector)
    connector.answer(asked, 200, [], b"z" * 10_000, more=True)
    for _ in range(299):
        await connector.room(asked, 10_000)
        connector.send(asked, b"z" * 10_000, more=True)
    connector.send(asked, b"")
    assert len((await asking).content) == 3_000_000


async def test_an_origin_that_does_not_answer_is_502(
    client: httpx2.AsyncClient, connector: Connector
) -> None:
    asking = asyncio.create_task(client.get("/"))
    connector.fail(await whole(connector))
    assert (await asking).status_code == 502


async def test_an_origin_that_says_nothing_in_time_is_524_and_let_go(
    world: World, client: httpx2.AsyncClient, connector: Connector
) -> None:
    world.edge.faults.idle_seconds = 0.05
    asking = asyncio.create_task(client.get("/"))
    asked = await whole(connector)
    assert (await asking).status_code == 524
    await asyncio.wait_for(asked.cancelled.wait(), SOON)


async def test_without_a_connector_a_hostname_answers_error_1033(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/")
    assert (answer.status_code, answer.text) == (530, "error code: 1033")


async def test_a_connection_that_is_lost_takes_its_requests_with_it_and_no_more_are_sent(
    world: World, client: httpx2.AsyncClient, connector: Connector
) -> None:
    asking = asyncio.create_task(client.get("/"))
    await whole(connector)
    (connected,) = world.tunnels.connections(TUNNEL)
    connected.cut()
    assert (await asking).status_code == 502
    await until(lambda: not world.tunnels.connections(TUNNEL))
    assert (await client.get("/")).status_code == 530


async def test_a_wrong_secret_is_refused_and_the_connection_closed(world: World, account: Account) -> None:
    wrong = account.token(secret=base64.b64encode(b"guessed" * 5).decode())
    async with connecting(world.tunnels.address, world.root.read_text()) as connector:
        with pytest.raises(Refused, match="Unauthorized: Invalid tunnel secret"):
            await connector.register(TUNNEL, wrong)
        await asyncio.wait_for(connector.gone.wait(), SOON)
    assert world.tunnels.connections(TUNNEL) == []
    assert [each.refused for each in world.tunnels.refusals] == ["Unauthorized: Invalid tunnel secret"]


async def test_a_tunnel_of_nobody_is_refused(world: World, account: Account) -> None:
    secret = account.secrets[TUNNEL]
    async with connecting(world.tunnels.address, world.root.read_text()) as connector:
        with pytest.raises(Refused, match="Unauthorized: Tunnel not found"):
            await connector.register(OTHER, account.token(OTHER, secret))


async def test_an_account_that_is_not_the_tunnels_is_refused(world: World, account: Account) -> None:
    token = account.token()
    account.account_tag = "c" * 32
    async with connecting(world.tunnels.address, world.root.read_text()) as connector:
        with pytest.raises(Refused, match="Unauthorized: Tunnel not found"):
            await connector.register(TUNNEL, token)


async def test_a_deleted_tunnel_loses_its_connections(account: Account, connector: Connector) -> None:
    del account.secrets[TUNNEL]
    await asyncio.wait_for(connector.gone.wait(), SOON)


async def test_the_configuration_is_pushed_once_and_again_when_it_changes(
    world: World, account: Account
) -> None:
    account.route(brain_example_com="http://127.0.0.1:1")
    async with connecting(world.tunnels.address, world.root.read_text()) as connector:
        details = await connector.register(TUNNEL, account.token())
        assert details.tunnelIsRemotelyManaged
        await until(lambda: len(connector.configurations) == 1)
        account.route(brain_example_com="http://127.0.0.1:2")
        await until(lambda: len(connector.configurations) == 2)
        (connected,) = world.tunnels.connections(TUNNEL)
        await until(lambda: len(connected.pushed) == 2)
    assert [each["version"] for each in connector.configurations] == [1, 2]
    services = [each["config"]["ingress"][0]["service"] for each in connector.configurations]
    assert services == ["http://127.0.0.1:1", "http://127.0.0.1:2"]
    assert connected.pushed[-1] == {"lastAppliedVersion": 2, "err": None}


async def test_a_locally_managed_tunnel_reports_its_configuration_and_is_sent_none(
    world: World, connector: Connector
) -> None:
    rules = b'{"ingress":[{"service":"http_status:404"}]}'
    await connector.edge.updateLocalConfiguration(rules)
    (connected,) = world.tunnels.connections(TUNNEL)
    assert connected.registration.local_configuration == {"ingress": [{"service": "http_status:404"}]}
    assert connector.configurations == []


async def test_several_connectors_take_turns_and_one_that_leaves_gets_nothing_new(
    world: World, account: Account, client: httpx2.AsyncClient, connector: Connector
) -> None:
    async with connecting(world.tunnels.address, world.root.read_text()) as second:
        await second.register(TUNNEL, account.token(), index=1)
        assert sorted(each.registration.index for each in world.tunnels.connections(TUNNEL)) == [0, 1]
        asking = [asyncio.create_task(client.get("/")) for _ in range(4)]
        asked = [(each, await whole(each)) for each in (connector, second, connector, second)]
        await connector.edge.unregisterConnection()
        for each, request in asked:
            each.answer(request, 200, [], b"in flight")
        assert {(await task).content for task in asking} == {b"in flight"}
        for _ in range(3):
            late = asyncio.create_task(client.get("/"))
            second.answer(await whole(second), 200, [], b"second")
            assert (await late).content == b"second"
        assert connector.requests.empty()

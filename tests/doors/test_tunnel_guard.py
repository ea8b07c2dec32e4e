"""What the tunnel door refuses of somebody with a perfectly good assertion."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.house import HOST, TestHouse

from .raw import WHOAMI, Reply, chunks, message, post, send

pytestmark = pytest.mark.asyncio(loop_scope="module")

HERE = Path(__file__).parent
NAMES = json.loads((HERE / "rebinding.json").read_text())["tunnel"]
PATHS = json.loads((HERE / "paths.json").read_text())
TARGETS = {target: int(kind[-3:]) for kind, targets in PATHS.items() for target in targets}
LIMIT = 4 * 1024 * 1024
ERAS = ["Mcp-Protocol-Version: 2025-11-25", "Mcp-Protocol-Version: 2026-07-28"]


async def ask(house: TestHouse, *headers: str, host: str = HOST, **more: object) -> Reply:
    """whoami as alice, over a socket of its own."""
    assertion = f"Cf-Access-Jwt-Assertion: {house.team.session('alice@example.com', house.team.token)}"
    return await send(house.tunnel, post(host, assertion, *headers, **more))  # type: ignore[arg-type]


async def test_the_public_name_is_the_only_one(standing: TestHouse) -> None:
    port = standing.tunnel.rpartition(":")[2]
    for host in NAMES["refused_hosts"]:
        reply = await ask(standing, host=host.replace("$port", port))
        assert (host, reply.status, reply.error) == (host, 421, "wrong_host")
    for host in NAMES["accepted_hosts"]:
        assert (host, (await ask(standing, host=host)).status) == (host, 200)


async def test_no_host_and_two_hosts_are_421(standing: TestHouse) -> None:
    for hosts in ([], [HOST, HOST], [HOST, "evil.example"], ["evil.example", HOST]):
        assert (await ask(standing, hosts=hosts)).status == 421


async def test_only_the_public_origin_may_ask(standing: TestHouse) -> None:
    for origin in NAMES["refused_origins"]:
        reply = await ask(standing, f"Origin: {origin}")
        assert (origin, reply.status, reply.error) == (origin, 403, "bad_origin")
    for origin in NAMES["accepted_origins"]:
        assert (origin, (await ask(standing, f"Origin: {origin}")).status) == (origin, 200)
    assert (await ask(standing, *["Origin: https://brain.example.com"] * 2)).status == 403


@pytest.mark.parametrize("door", ["lan", "tunnel"])
async def test_a_path_that_two_hops_could_read_differently_reaches_no_tool(
    standing: TestHouse, door: str
) -> None:
    for target, status in TARGETS.items():
        for method in ("POST", "GET"):
            if door == "lan":
                reply = await send(standing.lan, post("localhost", target=target, method=method))
            else:
                reply = await ask(standing, target=target, method=method)
            assert (target, reply.status) == (target, status)


async def test_a_strange_path_is_no_way_around_the_assertion(standing: TestHouse) -> None:
    for target in TARGETS:
        assert (await send(standing.tunnel, post(HOST, target=target))).status in (400, 401)


async def test_a_connection_header_may_not_drop_a_credential(standing: TestHouse) -> None:
    for value in (
        "Cf-Access-Jwt-Assertion",
        "close, cf-access-jwt-assertion",
        "keep-alive,\tCf-Ray",
        "Authorization",
        "host",
        "cf-connecting-ip",
    ):
        reply = await ask(standing, f"Connection: {value}")
        assert (value, reply.status) == (value, 400)
    assert (await ask(standing, "Connection: keep-alive")).status == 200


@pytest.mark.parametrize("era", ERAS)
async def test_a_body_over_4_mib_is_413_whether_its_length_is_told_or_not(
    standing: TestHouse, era: str
) -> None:
    big = message("ping", padding="x" * LIMIT)
    said = f"Content-Length: {LIMIT + 1}"
    for url, host, *headers in (
        (standing.lan, "localhost", era),
        (standing.tunnel, HOST, era, f"Cf-Access-Jwt-Assertion: {standing.team.token()}"),
    ):
        announced = post(host, *headers).partition(b"Content-Length")[0] + said.encode() + b"\r\n\r\n"
        assert (await send(url, announced)).error == "too_large"  # before a byte of the body
        assert (await send(url, announced.replace(b"/mcp", b"/healthz"))).status == 413
        assert (await send(url, post(host, *headers, body=big))).status == 413
        assert (await send(url, post(host, *headers, body=big, chunked=True))).status == 413
        assert (await send(url, post(host, *headers))).status in (200, 400)


async def test_nothing_of_a_body_that_is_too_large_is_carried_out(standing: TestHouse) -> None:
    call = message("tools/call", name="create_note", arguments={"title": "Smuggled", "text": "x"})
    body = call + b" " * LIMIT
    assert (await send(standing.lan, post("localhost", body=body, chunked=True))).status == 413
    found = await send(
        standing.lan, post("localhost", body=message("tools/call", name="list_notes", arguments={}))
    )
    assert b"Smuggled" not in found.body


async def test_a_body_of_exactly_4_mib_is_read(standing: TestHouse) -> None:
    body = WHOAMI + b" " * (LIMIT - len(WHOAMI))
    assert (await send(standing.lan, post("localhost", body=body))).status == 200
    assert (await send(standing.lan, post("localhost", body=body, chunked=True))).status == 200


async def test_two_ways_to_tell_the_length_are_one_too_many(standing: TestHouse) -> None:
    for extra in (
        "Transfer-Encoding: chunked",
        "Content-Length: 5",
        "Content-Length: -1",
        "Content-Length: 1e3",
    ):
        assert (await ask(standing, extra)).status == 400
    assert (await ask(standing, "Transfer-Encoding: chunked, identity")).status == 400
    assert (await ask(standing, f"Content-Length: {'9' * 5000}")).status == 400


async def test_a_trailer_is_never_a_credential(standing: TestHouse) -> None:
    head = post(HOST, chunked=True).partition(b"\r\n\r\n")[0]
    trailer = f"Cf-Access-Jwt-Assertion: {standing.team.token()}"
    request = head + b"\r\n\r\n" + chunks(WHOAMI, trailer)
    assert (await send(standing.tunnel, request)).status == 401
    nameless = post("", hosts=[], chunked=True).partition(b"\r\n\r\n")[0]
    assert (
        await send(standing.lan, nameless + b"\r\n\r\n" + chunks(WHOAMI, "Host: localhost"))
    ).status == 421


@pytest.mark.parametrize("door", ["lan", "tunnel"])
async def test_a_head_without_end_is_cut_off_and_the_server_lives(standing: TestHouse, door: str) -> None:
    url, host = (standing.lan, "localhost") if door == "lan" else (standing.tunnel, HOST)
    start = f"POST /mcp HTTP/1.1\r\nHost: {host}\r\nCf-Access-Jwt-Assertion: ".encode()
    assert (await send(url, start + b"a" * 1024 * 1024)).status in (400, 0)
    assert (await send(url, b"GET /" + b"a" * 1024 * 1024)).status in (400, 0)
    assert (await send(url, start + b"a\r\n" + b"X: y\r\n" * 200_000)).status in (400, 0)
    assert (await send(url, start + b"a" * 1024 * 1024 + b"\r\n\r\n")).status in (400, 0)
    assert (await send(url, start + b"a" * 200_000 + b"\r\n\r\n")).status == 400
    assert (await standing.lan_request()).status_code == 200


async def test_many_refusals_at_once_leave_the_door_usable(standing: TestHouse) -> None:
    replies = await asyncio.gather(*(send(standing.tunnel, post("evil.example")) for _ in range(100)))
    assert {reply.status for reply in replies} == {421}
    assert (await ask(standing)).status == 200

"""A web page whose name an attacker points at this machine gets nothing, on any path, with any method."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from pathlib import Path

import pytest

from app.simulator import Team
from tests.house import Clock, TestHouse, open_house

from .raw import WHOAMI, post, send

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAMES = json.loads((Path(__file__).parent / "rebinding.json").read_text())["lan"]
METHODS = ["GET", "POST", "OPTIONS", "DELETE", "HEAD"]
PATHS = ["/mcp", "/mcp/", "/healthz", "/readyz", "/metrics", "/nothing"]
VERSIONS = ["2025-06-18", "2025-11-25", "2026-07-28"]
EVERYWHERE = [(method, path, "") for method, path in itertools.product(METHODS, PATHS)] + [
    ("POST", "/mcp", f"Mcp-Protocol-Version: {version}") for version in VERSIONS
]


async def statuses(url: str, host: str, *headers: str) -> set[int]:
    """What every method, path and protocol version answers."""
    replies = await asyncio.gather(
        *(
            send(url, post(host, *headers, *([version] if version else []), method=method, target=path))
            for method, path, version in EVERYWHERE
        )
    )
    return {reply.status for reply in replies}


def on_port(text: str, url: str) -> str:
    return text.replace("$port", url.rpartition(":")[2])


async def test_a_name_that_is_not_ours_is_421_everywhere(standing: TestHouse) -> None:
    for name in NAMES["refused_hosts"]:
        expected = {400} if "\x7f" in name else {421}  # no header line may hold a control character
        assert (name, await statuses(standing.lan, on_port(name, standing.lan))) == (name, expected)


async def test_an_origin_that_is_not_ours_is_403_everywhere(standing: TestHouse) -> None:
    for origin in NAMES["refused_origins"]:
        seen = await statuses(standing.lan, "localhost", f"Origin: {on_port(origin, standing.lan)}")
        assert (origin, seen) == (origin, {403})


async def test_a_good_origin_does_not_make_up_for_a_bad_name(standing: TestHouse) -> None:
    assert await statuses(standing.lan, "evil.example", "Origin: http://localhost") == {421}
    assert await statuses(standing.lan, "evil.example", "Origin: http://evil.example") == {421}


async def test_no_host_and_two_hosts_are_421(standing: TestHouse) -> None:
    for hosts in (
        [],
        ["localhost", "localhost"],
        ["localhost", "evil.example"],
        ["evil.example", "localhost"],
    ):
        assert (await send(standing.lan, post("", hosts=hosts))).status == 421
    ancient = b"POST /mcp HTTP/1.0\r\nContent-Length: %d\r\n\r\n%b" % (len(WHOAMI), WHOAMI)
    assert (await send(standing.lan, ancient)).status == 421


async def test_two_origins_are_403(standing: TestHouse) -> None:
    request = post("localhost", "Origin: http://localhost", "Origin: http://localhost")
    assert (await send(standing.lan, request)).status == 403


async def test_our_own_names_and_pages_are_welcome(standing: TestHouse) -> None:
    for host, origin in itertools.product(NAMES["accepted_hosts"], [None, *NAMES["accepted_origins"]]):
        headers = [] if origin is None else [f"Origin: {on_port(origin, standing.lan)}"]
        reply = await send(standing.lan, post(on_port(host, standing.lan), *headers))
        assert (host, origin, reply.status) == (host, origin, 200)
        assert b'"lan"' in reply.body


async def test_no_answer_invites_a_page_of_another_origin(standing: TestHouse) -> None:
    for headers in ((), ("Origin: http://localhost",), ("Origin: http://evil.example",)):
        for method in METHODS:
            reply = await send(standing.lan, post("localhost", *headers, method=method))
            assert not [name for name, _ in reply.headers if name.startswith("access-control-")]


async def test_names_of_ones_own_replace_the_default_ones(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with open_house(tmp_path, clock, team, LAN_HOSTS="brain.lan") as house:
        assert (await send(house.lan, post("Brain.LAN:8084"))).status == 200
        assert (await send(house.lan, post("localhost"))).status == 421
        assert (await send(house.lan, post("127.0.0.1"))).status == 200  # where the connection really went
        assert (await send(house.lan, post("brain.lan.evil.example"))).status == 421


@pytest.mark.parametrize("bind", ["0.0.0.0", "::"])  # noqa: S104
async def test_bound_to_every_address_any_name_but_the_address_itself_is_421(
    bind: str, tmp_path: Path, clock: Clock, team: Team
) -> None:
    if (address := own_address()) is None:
        pytest.skip("this machine has no address but loopback")
    networks = f"{address}/32,127.0.0.0/8,::1/128"
    if bind == "::" and not can_listen_on(bind):
        pytest.skip("this machine has no IPv6")
    async with open_house(tmp_path, clock, team, bind=bind, MCP_HOST=bind, LAN_NETWORKS=networks) as house:
        url = f"http://{address}:{house.lan.rpartition(':')[2]}"
        assert (await send(url, post(address))).status == 200
        assert (await send(url, post("localhost"))).status == 200
        for name in NAMES["refused_hosts"]:
            assert (await send(url, post(on_port(name, url)))).status in (421, 400)
        assert await statuses(url, "evil.example") == {421}
        assert await statuses(url, address, "Origin: http://evil.example") == {403}
        assert await statuses(url, address, "Origin: null") == {403}


def can_listen_on(address: str) -> bool:
    with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def own_address() -> str | None:
    """An IPv4 address of this machine that is not loopback. Connecting a datagram socket sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        found: str = probe.getsockname()[0]
    return None if found.startswith("127.") else found

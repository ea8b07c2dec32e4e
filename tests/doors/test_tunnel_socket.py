"""The tunnel door as a socket file: the same door, and no way to the LAN's."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.doors.sockets import CannotListen, listen
from app.server import web_server
from app.settings.values import Tcp, Unix
from tests.house import HOST, TestHouse

from .raw import PATIENCE, Reply, closed, post, read


@pytest.fixture
async def socket_file(house: TestHouse, tmp_path: Path) -> AsyncIterator[Path]:
    """`house` served once more, its tunnel door as this file."""
    file = tmp_path / "run" / "tunnel.sock"
    sockets = [listen(Tcp("127.0.0.1", 0)), listen(Unix(file))]
    server = web_server(house.house, sockets)
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=sockets)
    yield file
    server.force_exit = True
    await server.shutdown(sockets=sockets)
    await asyncio.sleep(0)


async def send(file: Path, request: bytes) -> Reply:
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_unix_connection(file)
        writer.write(request)
        reply = await read(reader)
        await closed(writer)
    return reply


async def test_the_socket_file_is_the_tunnel_door(house: TestHouse, socket_file: Path) -> None:
    assertion = f"Cf-Access-Jwt-Assertion: {house.team.token()}"
    assert b"alice@example.com" in (await send(socket_file, post(HOST, assertion))).body
    assert (await send(socket_file, post(HOST))).status == 401
    for path in ("/mcp", "/metrics", "/readyz", "/healthz"):
        assert (await send(socket_file, post("localhost", method="GET", target=path))).status == 421
        assert (await send(socket_file, post(HOST, method="GET", target=path))).status == 401
    assert (await send(socket_file, post(HOST, assertion, method="GET", target="/metrics"))).status == 404


def test_the_socket_file_is_for_its_owner_and_group_alone(socket_file: Path) -> None:
    assert stat.S_IMODE(socket_file.stat().st_mode) == 0o660
    assert stat.S_IMODE(socket_file.parent.stat().st_mode) == 0o700


async def test_a_socket_file_in_use_is_not_taken_from_its_owner(socket_file: Path) -> None:
    with pytest.raises(CannotListen, match="TUNNEL_DOOR"):
        listen(Unix(socket_file))
    assert (await send(socket_file, post(HOST))).status == 401


async def test_a_left_over_socket_file_is_replaced_and_any_other_file_is_not(tmp_path: Path) -> None:
    file = tmp_path / "tunnel.sock"
    listen(Unix(file)).close()
    assert file.is_socket()
    listen(Unix(file)).close()
    file.unlink()
    file.write_text("precious")
    with pytest.raises(CannotListen):
        listen(Unix(file))
    assert file.read_text() == "precious"

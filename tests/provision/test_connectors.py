"""Whose connectors serve a tunnel, in both forms in which the API lists them."""

from __future__ import annotations

from typing import Any

import pytest

from app.provision.apply import look
from app.provision.connectors import others
from app.provision.reading import connections

from .desk import HOST, Desk

BY_CONNECTION = [
    {"id": "1", "client_id": "ours", "origin_ip": "192.0.2.1"},
    {"id": "2", "client_id": "ours", "origin_ip": "192.0.2.1"},
    {"id": "3", "client_id": "theirs", "origin_ip": "192.0.2.2"},
    {"id": "4", "client_id": "unknown"},
]
BY_CONNECTOR = [
    {"id": "ours", "conns": [{"client_id": "ours", "origin_ip": "192.0.2.1"}]},
    {"id": "theirs", "conns": [{"client_id": "theirs", "origin_ip": "192.0.2.2"}]},
    {"id": "unknown", "conns": []},
]


@pytest.mark.parametrize("listed", [BY_CONNECTION, BY_CONNECTOR])
def test_what_is_not_ours_is_named_once_and_with_its_address(listed: list[dict[str, Any]]) -> None:
    assert others(listed, {"ours"}) == ("theirs from 192.0.2.2", "unknown from an address unknown")
    assert others(listed, {"ours", "theirs", "unknown"}) == ()


@pytest.mark.parametrize("ours", [set(), {"another"}])
def test_without_one_of_ours_all_are_others(ours: set[str]) -> None:
    assert len(others(BY_CONNECTION, ours)) == 3
    assert others([], ours) == ()


async def test_the_connections_are_those_of_our_tunnel(desk: Desk) -> None:
    await desk.apply()
    [tunnel] = desk.account.tunnels.all()
    desk.account.connections = {tunnel["id"]: BY_CONNECTION, "another": [{"client_id": "elsewhere"}]}
    async with desk.api() as api:
        found = await look(api, desk.files, HOST)
        assert list(await connections(api, found)) == BY_CONNECTION

"""`brain ready`: the answer of the LAN door, and the refusal of the tunnel door."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from .brain import brain, free_port, serving

AUD = "a" * 64


def internet(port: int) -> dict[str, Any]:
    """The tunnel door, with a team whose keys cannot be had: it refuses all the same."""
    return {
        "CF_ACCESS_TEAM": "acme",
        "CF_ACCESS_AUD": AUD,
        "CF_ACCESS_CERTS_URL": f"http://127.0.0.1:{free_port()}/",
        "BASE_URL": "https://brain.example.com",
        "TUNNEL_DOOR": f"127.0.0.1:{port}",
    }


@contextlib.asynccontextmanager
async def answering(*statuses: int, headers: str = "", body: str = "") -> AsyncIterator[int]:
    """Something on a port that says each status once, and the last of them from then on."""
    left = list(statuses)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status = left.pop(0) if len(left) > 1 else left[0]
        head = f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_server_that_can_work_is_ready_whatever_names_it_goes_by(tmp_path: Path) -> None:
    async with serving(tmp_path, LAN_HOSTS="nas.local,127.0.0.1") as server:
        named: dict[str, Any] = {"MCP_TRANSPORT": "http", "MCP_HOST": "localhost", "LAN_HOSTS": "nas.local"}
        ran = await brain(tmp_path, "ready", "--json", "--wait", "20", MCP_PORT=str(server.port), **named)
    assert ran.code == 0, ran
    assert json.loads(ran.out)["ok"] is True


async def test_where_nothing_answers_nothing_is_ready(tmp_path: Path) -> None:
    ran = await brain(tmp_path, "ready", MCP_TRANSPORT="http", MCP_PORT=str(free_port()))
    assert ran.code == 1
    assert "Is `brain serve` running?" in ran.out


async def test_a_server_that_cannot_reach_its_database_is_not_ready(tmp_path: Path) -> None:
    async with answering(503) as port:
        ran = await brain(tmp_path, "ready", MCP_TRANSPORT="http", MCP_PORT=str(port))
    assert ran.code == 1
    assert "answers 503" in ran.out


async def test_one_can_wait_for_a_server_that_is_just_starting(tmp_path: Path) -> None:
    async with answering(503, 503, 200) as port:
        ran = await brain(tmp_path, "ready", "--wait", "20", MCP_TRANSPORT="http", MCP_PORT=str(port))
    assert ran.code == 0, ran


async def test_over_stdio_there_is_no_door_to_ask(tmp_path: Path) -> None:
    ran = await brain(tmp_path, "ready")
    assert ran.code == 2
    assert "MCP_TRANSPORT is stdio" in ran.err


async def test_the_tunnel_door_is_closed_to_nobody_and_to_forgers(tmp_path: Path) -> None:
    variables = internet(free_port())
    async with serving(tmp_path, **variables):
        ran = await brain(tmp_path, "ready", "--closed", **variables)
    assert ran.code == 0, ran
    assert "refuses strangers" in ran.out


async def test_a_tunnel_door_on_a_unix_socket_is_asked_there(tmp_path: Path) -> None:
    variables = {**internet(0), "TUNNEL_DOOR": f"unix:{tmp_path}/door"}
    async with serving(tmp_path, **variables):
        ran = await brain(tmp_path, "ready", "--closed", **variables)
    assert ran.code == 0, ran


@pytest.mark.parametrize("status", [200, 204, 302, 400, 401, 403, 404, 421, 500, 503])
async def test_whatever_is_no_refusal_starts_no_connector_and_is_not_waited_for(
    tmp_path: Path, status: int
) -> None:
    async with answering(status) as port, asyncio.timeout(20):
        ran = await brain(tmp_path, "ready", "--closed", "--wait", "600", **internet(port))
    assert ran.code == 1
    assert f"answers HTTP {status} to a stranger with nothing" in ran.out
    assert "Start no connector." in ran.out


MARK = "X-Request-Id: 1\r\n"


@pytest.mark.parametrize(
    ("status", "headers", "code", "exit_code"),
    [
        (401, MARK, "unauthorized", 0),
        (503, MARK, "temporarily_unavailable", 0),
        (503, MARK, "door_closed", 0),
        (401, "", "unauthorized", 1),
        (401, MARK, "login_needed", 1),
        (400, MARK, "invalid_request", 1),
        (421, MARK, "misrouted", 1),
        (503, MARK, "store_unusable", 1),
        (503, "", "temporarily_unavailable", 1),
        (429, MARK, "rate_limited", 1),
        (429, "", "", 1),
    ],
)
async def test_a_refusal_is_one_in_the_words_of_the_brain_alone(
    tmp_path: Path, status: int, headers: str, code: str, exit_code: int
) -> None:
    body = json.dumps({"error": code})
    async with answering(status, headers=headers, body=body) as port:
        ran = await brain(tmp_path, "ready", "--closed", **internet(port))
    assert ran.code == exit_code, ran


async def test_a_door_that_is_asked_too_often_is_asked_again_later(tmp_path: Path) -> None:
    body = json.dumps({"error": "unauthorized"})
    async with answering(429, 429, 401, headers=MARK, body=body) as port:
        ran = await brain(tmp_path, "ready", "--closed", "--wait", "20", **internet(port))
    assert ran.code == 0, ran
    async with answering(429) as port:
        ran = await brain(tmp_path, "ready", "--closed", **internet(port))
    assert "Ask again in a minute" in ran.out


async def test_behind_a_tunnel_door_that_is_off_no_connector_is_started(tmp_path: Path) -> None:
    ran = await brain(tmp_path, "ready", "--closed", "--wait", "600")
    assert ran.code == 1
    assert "The tunnel door is off (CF_ACCESS_TEAM is not set)" in ran.out
    ran = await brain(tmp_path, "ready", "--closed", "--or-off")
    assert ran.code == 0
    assert "there is no way in" in ran.out


async def test_a_tunnel_door_that_does_not_answer_is_not_proven_closed(tmp_path: Path) -> None:
    ran = await brain(tmp_path, "ready", "--closed", **internet(free_port()))
    assert ran.code == 1

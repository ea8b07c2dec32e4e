"""`brain serve` over HTTP: what it refuses to start with, and how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from app.doors.sockets import CannotListen, listen
from app.settings.values import Tcp

from .brain import Ran, Serving, brain, free_port, serving

pytestmark = pytest.mark.asyncio(loop_scope="module")

CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}
BODY = json.dumps(CALL).encode()


class SlowCall:
    """A call whose second half is kept back: for the server it is under way as long as one likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def begin(cls, server: Serving) -> SlowCall:
        call = cls(*await asyncio.open_connection("127.0.0.1", server.port))
        head = (
            f"POST /mcp HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Length: {len(BODY)}\r\n"
            "Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n"
            "MCP-Protocol-Version: 2025-06-18\r\nExpect: 100-continue\r\n\r\n"
        )
        call.writer.write(head.encode())
        async with asyncio.timeout(10):  # sent once the server waits for the body
            assert await call.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        call.writer.write(BODY[:20])
        return call

    async def finish(self) -> bytes:
        self.writer.write(BODY[20:])
        async with asyncio.timeout(10):
            answer = await self.reader.read()
        await self.close()
        return answer

    async def close(self) -> None:
        self.writer.close()
        await self.writer.wait_closed()


@pytest_asyncio.fixture(scope="module", loop_scope="module", autouse=True)
async def stuck(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[asyncio.Task[tuple[int, float]]]:
    """A server that was told to end (Ctrl-C) during a call that never will: waited for at the end."""
    async with serving(tmp_path_factory.mktemp("stuck")) as server:
        call = await SlowCall.begin(server)
        server.process.send_signal(signal.SIGINT)
        began = asyncio.get_running_loop().time()

        async def end() -> tuple[int, float]:
            code = await server.ended()
            return code, asyncio.get_running_loop().time() - began

        task = asyncio.create_task(end())
        yield task
        await task
        await call.close()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def refused(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Ran]:
    """Starts that must not be, at the same time."""
    folder = tmp_path_factory.mktemp("refused")
    (folder / "policy.toml").write_text("version = 2\nrules = 1\n[lan]\nscope = 1\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        starts = {
            "port": {"MCP_PORT": str(taken.getsockname()[1])},
            "policy": {"MCP_PORT": str(free_port()), "DATA_DIR": str(folder)},
            "aud": {"CF_ACCESS_TEAM": "acme", "CF_ACCESS_AUD": " "},
        }
        runs = [brain(folder, "serve", stdin=b"", MCP_TRANSPORT="http", **given) for given in starts.values()]
        return dict(zip(starts, await asyncio.gather(*runs), strict=True))


async def test_a_port_in_use_is_a_clear_sentence(refused: dict[str, Ran]) -> None:
    ran = refused["port"]
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("brain: Cannot listen on 127.0.0.1:")
    assert ran.err.endswith(
        ": Address already in use. "
        "Another server may be running there; stop it or choose another port (MCP_PORT, TUNNEL_DOOR).\n"
    )


async def test_how_to_connect_is_told_once_the_door_is_open_and_not_before(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ran = await brain(tmp_path, "serve", "--connect", MCP_TRANSPORT="http", MCP_PORT=port)
    assert (ran.code, ran.out) == (2, "")
    async with serving(tmp_path, "--connect") as server:
        assert server.process.stdout is not None
        first = await server.process.stdout.readline()
    assert first.decode() == f"The Brain on the LAN, no login: http://127.0.0.1:{server.port}/mcp\n"


@pytest.mark.parametrize("host", ["127.0.0..1", "a" * 70, "192.0.2.1"])
async def test_an_address_that_is_not_ours_is_a_clear_sentence(host: str) -> None:
    with pytest.raises(CannotListen, match=f"Cannot listen on {host}:8084: "):
        listen(Tcp(host, 8084))


async def test_a_start_on_a_broken_policy_is_refused_with_all_its_problems(refused: dict[str, Ran]) -> None:
    ran = refused["policy"]
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.splitlines() == [
        "brain: The policy file has problems:",
        "- policy.rules: unknown; did you mean `rule`?",
        "- version: must be 1; write `version = 1` as the first line",
        "- lan.scope: unknown; did you mean `scopes`?",
        '- lan.scopes: missing; say what it gives, like scopes = ["mcp:tools:read"]',
    ]


async def test_a_team_without_an_aud_tag_does_not_start(refused: dict[str, Ran]) -> None:
    assert refused["aud"].code == 2
    assert "- CF_ACCESS_AUD: must be set with CF_ACCESS_TEAM" in refused["aud"].err


async def test_a_call_that_is_under_way_at_sigterm_is_answered_and_the_end_is_clean(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        call = await SlowCall.begin(server)
        server.process.send_signal(signal.SIGTERM)
        await server.said("Shutting down")
        answer = await call.finish()
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert b'"principal":"lan"' in answer.replace(b'\\"', b'"').replace(b" ", b"")
        assert await server.ended() == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)


async def test_a_call_that_never_ends_holds_the_end_up_for_less_than_ten_seconds(
    stuck: asyncio.Task[tuple[int, float]],
) -> None:
    code, seconds = await stuck
    assert code == 0
    assert seconds < 10

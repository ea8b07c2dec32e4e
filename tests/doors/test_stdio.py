"""The server on standard input and output, talked to by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pty
import signal
import socket
import subprocess
import tty
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.doors.http import MAX_BODY
from tests.cli.brain import COMMAND, brain, environ

ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "by hand", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
LOUD = """
import os, subprocess
from fastmcp import FastMCP
mcp = FastMCP("loud")
print("printed at import", flush=True)
@mcp.tool
def shout() -> str:
    print("printed by Python")
    os.write(1, b"written to fd 1\\n")
    subprocess.run(["echo", "printed by a child"], check=True)
    return "said"
"""


def message(method: str, number: int | None = None, **params: Any) -> bytes:
    said: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    if number is not None:
        said["id"] = number
    return json.dumps({**said, "params": params}).encode() + b"\n"


INITIALIZE = message(
    "initialize",
    0,
    protocolVersion="2025-06-18",
    capabilities={},
    clientInfo={"name": "by hand", "version": "1"},
)
OPENING = INITIALIZE + message("notifications/initialized")


def call(number: int, name: str, **arguments: Any) -> bytes:
    return message("tools/call", number, name=name, arguments=arguments)


def text(answer: dict[str, Any]) -> str:
    return str(answer["result"]["content"][0]["text"])


@dataclass
class Talk:
    process: asyncio.subprocess.Process

    @property
    def stdin(self) -> asyncio.StreamWriter:
        assert self.process.stdin is not None
        return self.process.stdin

    async def hears(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(20):
            answer: dict[str, Any] = json.loads(await self.process.stdout.readuntil(b"\n"))
        return answer

    async def asks(self, line: bytes) -> dict[str, Any]:
        self.stdin.write(line)
        return await self.hears()

    async def ends(self) -> tuple[int, str]:
        """Its exit code, and what it said on standard error."""
        assert self.process.stderr is not None
        async with asyncio.timeout(20):
            code, said = await asyncio.gather(self.process.wait(), self.process.stderr.read())
        return code, said.decode()


@contextlib.asynccontextmanager
async def talk(folder: Path, **ends: Any) -> AsyncIterator[Talk]:
    """`ends`: its standard input, output and error, pipes of ours by default."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        "serve",
        cwd=folder,
        env=environ(MCP_TRANSPORT="stdio"),
        limit=2 * MAX_BODY,
        **{"stdin": pipe, "stdout": pipe, "stderr": pipe, **ends},
    )
    try:
        yield Talk(process)
    finally:
        if process.returncode is None:
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()
        for left in (process.stdout, process.stderr):
            if left is not None:
                await left.read()


def ended_well(end: tuple[int, str]) -> bool:
    code, said = end
    assert "Traceback" not in said
    return code == 0


async def test_it_ends_well_when_its_input_does(tmp_path: Path) -> None:
    async with talk(tmp_path) as client:
        answer = await client.asks(OPENING)
        assert answer["result"]["protocolVersion"] == "2025-06-18"
        client.stdin.close()
        assert ended_well(await client.ends())


async def test_many_calls_at_once_are_each_answered_once(tmp_path: Path) -> None:
    async with talk(tmp_path) as client:
        await client.asks(OPENING)
        client.stdin.writelines(call(number, "whoami") for number in range(1, 301))
        answers = [await client.hears() for _ in range(300)]
        assert sorted(answer["id"] for answer in answers) == list(range(1, 301))
        assert {json.loads(text(answer))["door"] for answer in answers} == {"lan"}


async def test_a_client_of_the_new_era_needs_no_handshake(tmp_path: Path) -> None:
    async with talk(tmp_path) as client:
        asked = message("tools/call", 1, name="whoami", arguments={}, _meta=ENVELOPE)
        assert json.loads(text(await client.asks(asked)))["kind"] == "lan"
        late = await client.asks(INITIALIZE)
        assert late["error"]["code"] == -32022


async def test_whoever_reads_late_reads_whole_messages_whatever_was_cancelled_meanwhile(
    tmp_path: Path,
) -> None:
    loop, (ours, theirs) = asyncio.get_running_loop(), socket.socketpair()
    ours.setblocking(False)
    rest = b""

    async def hears() -> dict[str, Any]:
        nonlocal rest
        while b"\n" not in rest:
            rest += await loop.sock_recv(ours, 4096)
        line, _, rest = rest.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async with talk(tmp_path, stdout=theirs) as client, asyncio.timeout(20):
        theirs.close()
        client.stdin.write(OPENING + call(1, "create_note", title="Otter", text="river " * 30_000))
        await hears()
        note = json.loads(text(await hears()))
        client.stdin.writelines(call(number, "fetch", id=note["id"]) for number in range(2, 32))
        client.stdin.writelines(
            message("notifications/cancelled", requestId=number) for number in range(2, 17)
        )
        await client.stdin.drain()
        answered: set[int] = set()
        while not answered >= set(range(17, 32)):
            answered.add((await hears())["id"])
    ours.close()


async def test_what_is_no_message_is_answered_and_the_next_one_served(served: Talk) -> None:
    for line, code, number in (
        (b'{"jsonrpc": "2.0", "id": 7, "method"', -32700, None),
        (b"hello", -32700, None),
        (b"[]", -32600, None),
        (b'{"jsonrpc": "1.0", "id": 7, "method": "ping"}', -32600, 7),
        (b'{"jsonrpc": "2.0", "id": 7, "result": 3}', -32600, None),
    ):
        answer = await served.asks(line + b"\n\n \r\n")
        assert (answer["error"]["code"], answer["id"]) == (code, number)
        assert (await served.asks(message("ping", 8)))["id"] == 8


async def test_a_line_that_is_too_long_is_answered_and_the_next_one_served(served: Talk) -> None:
    params = {"name": "create_note", "arguments": {"title": "x", "text": "x" * (MAX_BODY + 100_000)}}
    for said, number in (
        ({"id": 7, "method": "tools/call", "params": params}, 7),
        ({"method": "tools/call", "params": params, "id": "last"}, "last"),
        (params, None),
    ):
        answer = await served.asks(json.dumps(said).encode() + b"\n")
        assert str(MAX_BODY) in answer["error"]["message"]
        assert answer["id"] == number
        assert (await served.asks(message("ping", 8)))["id"] == 8


async def test_bytes_that_are_not_utf8_are_replaced(served: Talk) -> None:
    asked = call(1, "create_note", title="Otter", text="swims?").replace(b"swims?", b"swims\xff")
    note = json.loads(text(await served.asks(asked)))
    assert "swims\N{REPLACEMENT CHARACTER}" in text(await served.asks(call(2, "fetch", id=note["id"])))


async def test_it_ends_well_when_nobody_reads_its_output(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    async with talk(tmp_path, stdout=writes) as client:
        os.close(writes)
        client.stdin.write(OPENING)
        assert b"2025-06-18" in await asyncio.to_thread(os.read, reads, 100_000)
        os.close(reads)
        client.stdin.write(message("ping", 1))
        assert ended_well(await client.ends())


async def test_what_code_of_ours_prints_never_reaches_the_client(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(LOUD)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/policy.toml").write_text(
        'version = 1\n[scopes.loud]\ntools = ["loud_*"]\n[lan]\nscopes = ["*"]\n'
    )
    (tmp_path / "data/upstreams.toml").write_text('version = 1\n[upstream.loud]\npython = "../loud.py:mcp"\n')
    async with talk(tmp_path) as client:
        await client.asks(OPENING)
        async with asyncio.timeout(20):
            number = 1
            while text(await client.asks(call(number, "loud_shout"))) != "said":  # until it is up
                number += 1
        client.stdin.close()
        end = await client.ends()
        assert ended_well(end)
        for words in ("printed at import", "printed by Python", "written to fd 1", "printed by a child"):
            assert words in end[1]
        assert client.process.stdout is not None
        assert await client.process.stdout.read() == b""


async def test_its_input_may_be_a_file(tmp_path: Path) -> None:
    (tmp_path / "asked").write_bytes(OPENING)
    with (tmp_path / "asked").open() as asked:
        async with talk(tmp_path, stdin=asked) as client:
            assert (await client.hears())["id"] == 0
            assert ended_well(await client.ends())


async def test_its_input_may_be_empty(tmp_path: Path) -> None:
    async with talk(tmp_path, stdin=subprocess.DEVNULL) as client:
        assert ended_well(await client.ends())


async def test_the_last_line_needs_no_end(tmp_path: Path) -> None:
    ran = await brain(tmp_path, "serve", stdin=INITIALIZE.rstrip(), MCP_TRANSPORT="stdio")
    assert ran.code == 0
    assert json.loads(ran.out)["id"] == 0


async def test_a_terminal_is_left_as_it_is(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    async with talk(tmp_path, stdin=theirs) as client:
        os.write(ours, OPENING)
        assert (await client.hears())["id"] == 0
        assert os.get_blocking(theirs)
    os.close(ours)
    os.close(theirs)


async def test_standard_error_stays_blocking_where_it_is_standard_output_too(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    async with talk(tmp_path, stdout=writes, stderr=writes) as client:
        client.stdin.write(OPENING)
        assert b"2025-06-18" in await asyncio.to_thread(os.read, reads, 100_000)
        assert os.get_blocking(writes)
    os.close(reads)
    os.close(writes)


async def test_a_pipe_that_somebody_else_goes_on_with_is_blocking_again(tmp_path: Path) -> None:
    reads, writes = os.pipe()
    async with talk(tmp_path, stdin=reads) as client:
        os.write(writes, OPENING)
        await client.hears()
        assert not os.get_blocking(reads)
        os.close(writes)
        assert ended_well(await client.ends())
    assert os.get_blocking(reads)
    os.close(reads)


async def test_one_socket_may_be_both_input_and_output(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    async with talk(tmp_path, stdin=theirs, stdout=theirs) as client:
        theirs.close()
        reader, writer = await asyncio.open_connection(sock=ours)
        async with asyncio.timeout(20):
            for number in range(3):
                writer.write(OPENING if number == 0 else message("ping", number))
                assert json.loads(await reader.readline())["id"] == number
        writer.write_eof()
        assert ended_well(await client.ends())
        writer.close()


async def test_an_interrupt_ends_it_though_its_input_is_open(tmp_path: Path) -> None:
    async with talk(tmp_path) as client:
        await client.asks(OPENING)
        client.process.send_signal(signal.SIGINT)
        assert ended_well(await client.ends())


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Talk]:
    async with talk(tmp_path) as client:
        await client.asks(OPENING)
        yield client

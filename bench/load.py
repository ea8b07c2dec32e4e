"""A load generator that is lighter than what it measures: raw HTTP/1.1 over kept-alive connections.

It runs in a process of its own: `python -m bench.load` reads a Job as JSON and prints a Result as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field

import uvloop

MODERN, LEGACY = "2026-07-28", "2025-11-25"
CONNECTIONS = 8
ID = 100_000_000  # the first request's; all are of one length, and unique within a session


@dataclass
class Job:
    """`assertions`: none, one for all requests, or a fresh one for each request while they last.

    `bearer`: an access token of the inner OAuth server, in place of them.
    """

    port: int
    era: str
    host: str
    seconds: float
    assertions: list[str] = field(default_factory=list)
    method: str = "tools/call"
    tool: str = "echo"
    bearer: str = ""


@dataclass
class Result:
    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    bad: int


ARGUMENTS = {"echo": {"text": "hello"}, "create_note": {"title": "A note", "text": "Some words. " * 20}}


def body(job: Job) -> bytes:
    params: dict[str, object] = (
        {"name": job.tool, "arguments": ARGUMENTS[job.tool]} if job.method == "tools/call" else {}
    )
    if job.era == MODERN:
        params["_meta"] = {
            "io.modelcontextprotocol/protocolVersion": MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
    return json.dumps({"jsonrpc": "2.0", "id": ID, "method": job.method, "params": params}).encode()


class Requests:
    """The bytes of each next request."""

    def __init__(self, job: Job, session: str) -> None:
        payload = body(job)
        head = [
            "POST /mcp HTTP/1.1",
            f"Host: {job.host}",
            "Content-Type: application/json",
            "Accept: application/json, text/event-stream",
            f"MCP-Protocol-Version: {job.era}",
            f"Content-Length: {len(payload)}",
        ]
        if job.era == MODERN:
            head.append(f"Mcp-Method: {job.method}")
            if job.method == "tools/call":
                head.append(f"Mcp-Name: {job.tool}")
        if job.bearer:
            head.append(f"Authorization: Bearer {job.bearer}")
        if session:
            head.append(f"Mcp-Session-Id: {session}")
        self._head = "\r\n".join(head).encode() + b"\r\n"
        self._before, self._after = (b"\r\n" + payload).split(str(ID).encode())
        self._assertions = [f"Cf-Access-Jwt-Assertion: {one}\r\n".encode() for one in job.assertions]
        self._next = 0

    def __iter__(self) -> Requests:
        return self

    def __next__(self) -> bytes:
        number, self._next = self._next, self._next + 1
        end = self._before + str(ID + number).encode() + self._after
        if not self._assertions:
            return self._head + end
        if number >= len(self._assertions) > 1:
            raise StopIteration
        return self._head + self._assertions[number % len(self._assertions)] + end


async def answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bytes]:
    """(status, head, body) of one response, by length or in chunks."""
    head = await reader.readuntil(b"\r\n\r\n")
    lower = head.lower()
    status = int(head[9:12])
    if b"transfer-encoding: chunked" in lower:
        chunks = bytearray()
        while size := int(await reader.readline(), 16):
            chunks += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return status, lower, bytes(chunks)
    start = lower.find(b"content-length: ")
    length = 0 if start < 0 else int(lower[start + 16 : lower.index(b"\r\n", start)])
    return status, lower, await reader.readexactly(length)


async def session_of(job: Job) -> str:
    """A stateful server's session id for the handshake era; empty where the server needs none."""
    if job.era == MODERN:
        return ""
    reader, writer = await asyncio.open_connection("127.0.0.1", job.port)
    hello = {
        "protocolVersion": LEGACY,
        "capabilities": {},
        "clientInfo": {"name": "bench", "version": "1"},
    }
    payload = json.dumps({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": hello}).encode()
    proof = f"Cf-Access-Jwt-Assertion: {job.assertions[0]}\r\n" if job.assertions else ""
    if job.bearer:
        proof = f"Authorization: Bearer {job.bearer}\r\n"
    head = (
        f"POST /mcp HTTP/1.1\r\nHost: {job.host}\r\nContent-Type: application/json\r\n{proof}"
        f"Accept: application/json, text/event-stream\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    writer.write(head.encode() + payload)
    _, reply, _ = await answer(reader)
    writer.close()
    for line in reply.split(b"\r\n"):
        if line.startswith(b"mcp-session-id: "):
            return line[16:].decode()
    return ""


async def one_connection(job: Job, requests: Requests, until: float, times: list[float]) -> int:
    """Requests one after the other until the time is up; returns how many answers were not good."""
    reader, writer = await asyncio.open_connection("127.0.0.1", job.port)
    bad = 0
    for request in requests:
        began = time.perf_counter()
        if began > until:
            break
        writer.write(request)
        status, _, content = await answer(reader)
        times.append(time.perf_counter() - began)
        bad += status != 200 or b'"isError":true' in content or b'"result"' not in content
    writer.close()
    return bad


async def run(job: Job) -> Result:
    requests = Requests(job, await session_of(job))
    times: list[float] = []
    began = time.perf_counter()
    until = began + job.seconds
    bad = sum(
        await asyncio.gather(*(one_connection(job, requests, until, times) for _ in range(CONNECTIONS)))
    )
    took = time.perf_counter() - began
    times.sort()
    return Result(len(times), took, _at(times, 0.50), _at(times, 0.99), bad)


def _at(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(len(times) * share))] * 1000


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(asdict(runner.run(run(Job(**json.load(sys.stdin)))))))

"""When the edge lets bytes through, and when it gives up."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import uvicorn

from app.simulator import Application, Running, Simulator, Team, running
from app.simulator.server import LoopbackServer

from .origin import Origin, Seen

Headers = dict[str, str]
SOON = 2.0
"""A bound for what must happen, never a wait."""


@pytest.fixture
def script(origin: tuple[Origin, str]) -> Origin:
    return origin[0]


async def headers_arrive(edge: httpx2.AsyncClient, path: str, alice: Headers) -> httpx2.Response:
    return await edge.send(edge.build_request("GET", path, headers=alice), stream=True)


async def next_of(stream: AsyncIterator[bytes]) -> bytes:
    return await asyncio.wait_for(anext(stream), SOON)


async def test_events_pass_one_by_one_as_they_are_written(
    edge: httpx2.AsyncClient, alice: Headers, script: Origin
) -> None:
    script.script.put_nowait(b"data: 1\n\n")
    answer = await headers_arrive(edge, "/events", alice)
    stream = answer.aiter_raw()
    assert await next_of(stream) == b"data: 1\n\n"
    script.script.put_nowait(b"data: 2\n\n")
    assert await next_of(stream) == b"data: 2\n\n"
    script.script.put_nowait(None)
    assert [chunk async for chunk in stream] == []


async def test_a_response_without_a_length_streams_whatever_its_type(
    edge: httpx2.AsyncClient, alice: Headers, script: Origin
) -> None:
    script.script.put_nowait(b"one")
    answer = await headers_arrive(edge, "/chunked", alice)
    assert await next_of(answer.aiter_raw()) == b"one"
    await answer.aclose()


async def test_headers_are_held_until_the_first_byte_of_the_body(
    edge: httpx2.AsyncClient, alice: Headers, script: Origin
) -> None:
    waiting = asyncio.create_task(headers_arrive(edge, "/events", alice))
    await script.started.wait()
    done, _pending = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    script.script.put_nowait(b": hello\n\n")
    answer = await asyncio.wait_for(waiting, SOON)
    assert answer.status_code == 200
    await answer.aclose()


async def test_a_response_of_known_length_arrives_as_one_block_at_its_end(
    edge: httpx2.AsyncClient, alice: Headers, script: Origin
) -> None:
    script.script.put_nowait(b"abc")
    waiting = asyncio.create_task(headers_arrive(edge, "/sized", alice))
    await script.started.wait()
    done, _pending = await asyncio.wait([waiting], timeout=0.1)
    assert not done
    script.script.put_nowait(b"def")
    script.script.put_nowait(None)
    answer = await asyncio.wait_for(waiting, SOON)
    assert await answer.aread() == b"abcdef"


async def test_events_of_known_length_stream_all_the_same(
    edge: httpx2.AsyncClient, alice: Headers, script: Origin
) -> None:
    script.script.put_nowait(b"abc")
    answer = await asyncio.wait_for(headers_arrive(edge, "/sized-events", alice), SOON)
    assert await next_of(answer.aiter_raw()) == b"abc"
    await answer.aclose()


async def test_an_origin_that_says_nothing_in_time_is_524_and_let_go(
    edge: httpx2.AsyncClient, application: Application, alice: Headers, script: Origin
) -> None:
    application.idle_seconds = 0.05
    assert (await edge.get("/silent", headers=alice)).status_code == 524
    await asyncio.wait_for(script.left.wait(), SOON)


async def test_headers_alone_do_not_count_as_an_answer_in_time(
    edge: httpx2.AsyncClient, application: Application, alice: Headers
) -> None:
    application.idle_seconds = 0.05
    assert (await edge.get("/events", headers=alice)).status_code == 524


async def test_half_an_answer_of_known_length_does_not_count_either(
    edge: httpx2.AsyncClient, application: Application, alice: Headers, script: Origin
) -> None:
    application.idle_seconds = 0.05
    script.script.put_nowait(b"abc")
    assert (await edge.get("/sized", headers=alice)).status_code == 524


async def test_an_origin_that_dies_in_its_answer_is_502_or_a_cut_stream(
    edge: httpx2.AsyncClient, alice: Headers, script: Origin
) -> None:
    script.breaks = True
    script.script.put_nowait(b"abc")
    script.script.put_nowait(None)
    assert (await edge.get("/sized", headers=alice)).status_code == 502
    script.script.put_nowait(b"abc")
    script.script.put_nowait(None)
    with pytest.raises(httpx2.RemoteProtocolError):
        await edge.get("/chunked", headers=alice)


async def test_a_stream_that_falls_silent_is_cut_without_an_end(
    edge: httpx2.AsyncClient, application: Application, alice: Headers, script: Origin
) -> None:
    application.idle_seconds = 0.05
    script.script.put_nowait(b"data: 1\n\n")
    answer = await headers_arrive(edge, "/events", alice)
    stream = answer.aiter_raw()
    assert await next_of(stream) == b"data: 1\n\n"
    with pytest.raises(httpx2.RemoteProtocolError):
        await next_of(stream)
    await asyncio.wait_for(script.left.wait(), SOON)


async def test_a_client_that_leaves_a_stream_is_gone_for_the_origin_too(
    edge: httpx2.AsyncClient, alice: Headers, script: Origin
) -> None:
    script.script.put_nowait(b"data: 1\n\n")
    answer = await headers_arrive(edge, "/events", alice)
    await answer.aclose()
    await asyncio.wait_for(script.left.wait(), SOON)


async def test_a_client_that_leaves_before_any_answer_is_gone_for_the_origin_too(
    run: Running, alice: Headers, script: Origin
) -> None:
    async with httpx2.AsyncClient(base_url=run.edge_url, trust_env=False) as client:
        waiting = asyncio.create_task(client.post("/silent", headers=alice, content=b"{}"))
        await script.started.wait()
        waiting.cancel()
        await asyncio.wait([waiting])
    await asyncio.wait_for(script.left.wait(), SOON)


async def test_a_client_that_leaves_in_its_body_is_gone_for_the_origin_too(
    run: Running, alice: Headers, script: Origin
) -> None:
    host, port = run.edge_url.removeprefix("http://").split(":")
    _reader, writer = await asyncio.open_connection(host, int(port))
    head = f"POST /silent HTTP/1.1\r\nhost: {host}\r\ncf-access-token: {alice['cf-access-token']}\r\n"
    writer.write(f"{head}content-length: 100\r\n\r\nhalf".encode())
    await writer.drain()
    await script.started.wait()
    writer.close()
    await asyncio.wait_for(script.left.wait(), SOON)


async def test_shutting_down_waits_for_no_open_stream(
    team: Team, application: Application, alice: Headers, script: Origin
) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        async with asyncio.timeout(SOON), running(Simulator(team, application)) as run:
            script.script.put_nowait(b"data: 1\n\n")
            request = client.build_request("GET", f"{run.edge_url}/events", headers=alice)
            answer = await client.send(request, stream=True)
            stream = answer.aiter_raw()
            await next_of(stream)
        with pytest.raises(httpx2.RemoteProtocolError):
            await next_of(stream)
        assert run.edge.in_flight == 0


async def test_an_origin_on_a_unix_socket_is_reached(
    edge: httpx2.AsyncClient, application: Application, alice: Headers, tmp_path: Path
) -> None:
    path = tmp_path / "door"
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(path))
    server = await LoopbackServer.start(Origin(), bound)
    application.origin = f"unix:{path}"
    assert Seen((await edge.get("/mcp", headers=alice)).json()).one("host") == application.host
    await server.stop()


async def test_many_requests_at_once_all_arrive(edge: httpx2.AsyncClient, alice: Headers) -> None:
    answers = await asyncio.gather(*(edge.post(f"/{n}", headers=alice, content=b"x" * n) for n in range(50)))
    assert [Seen(answer.json()).body_size for answer in answers] == list(range(50))


def test_no_signal_is_taken_from_the_program_around() -> None:
    server = LoopbackServer(uvicorn.Config("unused:app"))
    with server.capture_signals():
        assert server._captured_signals == []

"""The proof that a name is closed: what it sends is refused by our door, and it is not easily content."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

from app.simulator import SigningKey
from app.tunnel.proof import (
    Answer,
    Attempt,
    NotClosed,
    NotReachable,
    ask,
    attempts,
    judge,
    prove,
    prove_gone,
)
from tests.house import HOST, TEAM, Clock, TestHouse, in_one_task, new_team, open_house

AUD = "a" * 64
PAGES = ("/", "/healthz")


def everything(now: float, aud: str = AUD) -> tuple[Attempt, ...]:
    return attempts(PAGES, team=TEAM, aud=aud, email="alice@example.com", now=now)


@pytest.fixture
async def house(
    tmp_path: Path, clock: Clock, signing_keys: tuple[SigningKey, ...]
) -> AsyncIterator[TestHouse]:
    team = new_team(clock, (signing_keys[0], signing_keys[1]))
    async with in_one_task(open_house(tmp_path, clock, team)) as opened:
        yield opened


async def answers(base_url: str, all_of_them: tuple[Attempt, ...]) -> list[Answer]:
    headers = {"Host": HOST}
    async with httpx2.AsyncClient(base_url=base_url, headers=headers, trust_env=False) as client:
        return [await ask(client, attempt) for attempt in all_of_them]


async def test_the_tunnel_door_refuses_all_of_it_and_no_tool_hears_of_it(
    house: TestHouse, clock: Clock
) -> None:
    found = await answers(house.tunnel, everything(clock(), house.team.aud))
    assert {answer.verdict for answer in found} == {"refused"}
    assert len(found) == 13
    assert len({answer.attempt.name for answer in found}) == 13


async def test_a_door_that_lets_anybody_in_is_open(house: TestHouse, clock: Clock) -> None:
    async with httpx2.AsyncClient(base_url=house.lan, trust_env=False) as client:
        found = [await ask(client, attempt) for attempt in everything(clock())]
    assert "open" in {answer.verdict for answer in found}


async def test_where_nobody_listens_nothing_is_proven(clock: Clock) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await answers(f"http://127.0.0.1:{port}", everything(clock())[:1])
    assert [answer.verdict for answer in found] == ["unreachable"]
    found = await answers(f"http://127.0.0.1:{port}", everything(clock())[:1])
    assert [answer.verdict for answer in found] == ["unreachable"]


async def answering(*statuses: int) -> asyncio.Server:
    """One status after the other, the last one for ever."""
    left = list(statuses)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status = left.pop(0) if len(left) > 1 else left[0]
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


def at(server: asyncio.Server) -> httpx2.AsyncClient:
    port = server.sockets[0].getsockname()[1]
    return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)


async def test_what_does_not_answer_yet_is_asked_again_and_each_attempt_has_to_be_refused(
    clock: Clock,
) -> None:
    strange = everything(clock())
    async with await answering(530, 530, 401) as server, at(server) as client:
        await prove("It", client, strange, within=20, look_every=0.01)
    async with await answering(530, 401, 403, 200) as server, at(server) as client:
        with pytest.raises(NotClosed, match=r"It answered a stranger who brings .* with 200"):
            await prove("It", client, strange, within=20, look_every=0.01)
    async with await answering(401, 530) as server, at(server) as client:
        with pytest.raises(NotReachable, match="530: no connector serves the name"):
            await prove("It", client, strange, within=0.05, look_every=0.01)


async def test_a_name_is_gone_when_nothing_of_ours_answers_any_more() -> None:
    async with await answering(302, 401, 530) as server, at(server) as client:
        await prove_gone("It", client, within=20, look_every=0.01)
    async with await answering(200) as server, at(server) as client:
        with pytest.raises(NotClosed, match="It still answers"):
            await prove_gone("It", client, within=0.05, look_every=0.01)


NOTHING, FORGED = Attempt("n", "POST", "/mcp"), Attempt("f", "POST", "/mcp", forged=True)


@pytest.mark.parametrize(
    ("attempt", "status", "location", "verdict"),
    [
        (NOTHING, 401, "", "refused"),
        (NOTHING, 403, "", "refused"),
        (NOTHING, 302, "https://acme.cloudflareaccess.com/cdn-cgi/access/login/x", "refused"),
        (NOTHING, 302, "https://brain.example.com/login", "open"),
        (NOTHING, 302, "https://acme.cloudflareaccess.com.evil.example/x", "open"),
        (NOTHING, 302, "/login", "open"),
        (NOTHING, 307, "https://acme.cloudflareaccess.com/x", "open"),
        (NOTHING, 200, "", "open"),
        (NOTHING, 404, "", "open"),
        (NOTHING, 500, "", "open"),
        (NOTHING, 502, "", "unreachable"),
        (FORGED, 502, "", "refused"),
        (FORGED, 503, "", "unreachable"),
        (NOTHING, 530, "", "unreachable"),
    ],
)
def test_only_a_refusal_is_a_refusal(attempt: Attempt, status: int, location: str, verdict: str) -> None:
    assert judge(attempt, status, {"location": location} if location else {})[0] == verdict

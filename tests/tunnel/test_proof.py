"""The proof that a name is closed: what it sends is refused by our door, and it is not easily content."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import httpx2
import pytest

from app.simulator import SigningKey
from app.tunnel.config import SIGNED_IN
from app.tunnel.proof import (
    Attempt,
    Judged,
    NotClosed,
    NotReachable,
    ask,
    attempts,
    prove,
    prove_gone,
)
from tests.house import HOST, TEAM, Clock, TestHouse, in_one_task, new_team, open_house

AUD = "a" * 64
Said = Mapping[int, tuple[str, str]]
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


async def answers(base_url: str, all_of_them: tuple[Attempt, ...]) -> list[Judged]:
    headers = {"Host": HOST}
    async with httpx2.AsyncClient(base_url=base_url, headers=headers, trust_env=False) as client:
        return [await ask(client, attempt, team=TEAM, host=HOST) for attempt in all_of_them]


async def test_the_tunnel_door_refuses_all_of_it_and_no_tool_hears_of_it(
    house: TestHouse, clock: Clock
) -> None:
    found = await answers(house.tunnel, everything(clock(), house.team.aud))
    assert {answer.verdict for answer in found} == {"refused"}
    assert len(found) == 13
    assert len({answer.attempt.name for answer in found}) == 13


async def test_with_the_inner_oauth_server_its_pages_refuse_them_too(
    tmp_path: Path, clock: Clock, signing_keys: tuple[SigningKey, ...]
) -> None:
    team = new_team(clock, (signing_keys[0], signing_keys[1]))
    async with open_house(tmp_path, clock, team, OAUTH_ENABLED="true") as house:
        strange = attempts(SIGNED_IN, team=TEAM, aud=team.aud, email="alice@example.com", now=clock())
        found = await answers(house.tunnel, strange)
    assert {answer.attempt.path for answer in found} >= {"/authorize", "/consent"}
    assert {answer.verdict for answer in found} == {"refused"}


async def test_a_door_that_lets_anybody_in_is_open(house: TestHouse, clock: Clock) -> None:
    async with httpx2.AsyncClient(base_url=house.lan, trust_env=False) as client:
        found = [await ask(client, attempt, team=TEAM, host=HOST) for attempt in everything(clock())]
    assert "open" in {answer.verdict for answer in found}


async def test_where_nobody_listens_nothing_is_proven(clock: Clock) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        found = await answers(f"http://127.0.0.1:{port}", everything(clock())[:1])
    assert [answer.verdict for answer in found] == ["unreachable"]
    found = await answers(f"http://127.0.0.1:{port}", everything(clock())[:1])
    assert [answer.verdict for answer in found] == ["unreachable"]


OURS = "X-Request-Id: 1\r\n", '{"error": "unauthorized"}'
SAID = {401: OURS}


async def answering(*statuses: int, said: Said = SAID) -> asyncio.Server:
    """One status after the other, the last one for ever. `said`: headers and body by status."""
    left = list(statuses)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status = left.pop(0) if len(left) > 1 else left[0]
        headers, body = said.get(status, ("", ""))
        head = f"HTTP/1.1 {status} X\r\n{headers}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


def at(server: asyncio.Server) -> httpx2.AsyncClient:
    port = server.sockets[0].getsockname()[1]
    return httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False)


async def proving(server: asyncio.Server, clock: Clock, within: float) -> None:
    async with server, at(server) as client:
        strange = everything(clock())
        await prove("It", client, strange, team=TEAM, host=HOST, within=within, look_every=0.01)


async def test_what_does_not_answer_yet_is_asked_again_and_each_attempt_has_to_be_refused(
    clock: Clock,
) -> None:
    await proving(await answering(530, 530, 401), clock, within=20)
    with pytest.raises(NotClosed, match=r"It answered a stranger who brings .* with 200"):
        await proving(await answering(530, 401, 200), clock, within=20)
    with pytest.raises(NotReachable, match="530: no connector serves the name"):
        await proving(await answering(401, 530), clock, within=0.05)


async def test_a_no_of_somebody_else_is_asked_again_and_never_becomes_a_proof(clock: Clock) -> None:
    await proving(await answering(403, 429, 400, 401), clock, within=20)
    challenge = {403: ("cf-ray: 1\r\ncf-mitigated: challenge\r\n", "<html>")}
    with pytest.raises(NotReachable) as told:
        await proving(await answering(403, said=challenge), clock, within=0.05)
    assert "before Access was asked" in told.value.public
    assert f'Skip all remaining rules when Hostname equals "{HOST}"' in told.value.public
    for status in (400, 403, 429):
        with pytest.raises(NotReachable, match="was not proven closed"):
            await proving(await answering(status), clock, within=0.05)


async def test_a_location_that_is_no_url_is_no_login_and_no_crash(clock: Clock) -> None:
    said = {302: ("Location: https://[::bad\r\n", "")}
    with pytest.raises(NotClosed):
        await proving(await answering(302, said=said), clock, within=20)


async def test_a_name_is_gone_when_nothing_of_ours_answers_any_more() -> None:
    async with await answering(302, 401, 530) as server, at(server) as client:
        await prove_gone("It", client, within=20, look_every=0.01)
    for status in (200, 403, 503):
        said = {503: ("X-Request-Id: 1\r\n", '{"error": "temporarily_unavailable"}')}
        async with await answering(status, said=said) as server, at(server) as client:
            with pytest.raises(NotClosed, match="It still answers"):
                await prove_gone("It", client, within=0.05, look_every=0.01)

"""Limits at the doors: who gets 429, for how long, and who never does because of others."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from app.simulator import SigningKey, Team
from tests.house import NIGHTLY, Clock, TestHouse, open_house

ATTACKER = {"Cf-Connecting-Ip": "203.0.113.7"}
OTHER = {"Cf-Connecting-Ip": "203.0.113.8"}
PING = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "whoami", "arguments": {}}}
MCP = {"Accept": "application/json, text/event-stream"}


def limits(
    folder: Path, clock: Clock, team: Team, *, rate: int = 0, attempts: int = 0
) -> AbstractAsyncContextManager[TestHouse]:
    names: dict[str, Any] = {"RATE_LIMIT": str(rate), "RATE_LIMIT_ATTEMPTS": str(attempts)}
    return open_house(folder, clock, team, **names)


async def call(house: TestHouse, token: str | None, headers: dict[str, str] = {}) -> httpx2.Response:  # noqa: B006
    """A call of `whoami`: at the tunnel door with `token`, at the LAN door without."""
    sent: dict[str, Any] = {"json": PING, "headers": {**MCP, **headers}}
    if token is None:
        return await house.lan_request("POST", "/mcp", **sent)
    return await house.tunnel_request("POST", "/mcp", token=token, **sent)


async def counted(house: TestHouse, reason: str) -> int:
    """How often a door refused for `reason`, as `/metrics` of the LAN door tells it."""
    text = (await house.lan_request(path="/metrics")).text
    found = re.findall(rf'brain_events_total\{{[^}}]*reason="{reason}"\}} (\d+)', text)
    return sum(map(int, found))


def statuses(answers: Iterable[httpx2.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


# Requests of one principal.


@pytest.mark.parametrize("who", ["alice@example.com", NIGHTLY, None])
async def test_a_principal_gets_its_burst_and_its_rate_at_either_door(
    tmp_path: Path, clock: Clock, team: Team, who: str | None
) -> None:
    async with limits(tmp_path, clock, team, rate=120) as house:
        token = None if who is None else team.token(who) if "@" in who else team.service_token(who)
        answers = [await call(house, token) for _ in range(14)]
        assert statuses(answers) == [200] * 12 + [429] * 2
        limited = answers[-1]
        assert limited.json() == {
            "error": "rate_limited",
            "error_description": "Too many requests. Try again in 1 s.",
        }
        assert limited.headers["retry-after"] == "1"
        assert len(limited.headers.get_list("x-request-id")) == 1
        clock.advance(int(limited.headers["retry-after"]))
        assert statuses([await call(house, token) for _ in range(3)]) == [200, 200, 429]


async def test_one_principal_never_takes_from_another(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with limits(tmp_path, clock, team, rate=60) as house:
        alice, bob = team.token("alice@example.com"), team.token("bob@example.com")
        assert statuses([await call(house, alice) for _ in range(20)])[-1] == 429
        for token in (bob, team.service_token(NIGHTLY), None):
            assert statuses([await call(house, token) for _ in range(6)]) == [200] * 6


async def test_a_new_assertion_is_no_new_allowance(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with limits(tmp_path, clock, team, rate=60) as house:
        tokens = [team.token("alice@example.com") for _ in range(8)]
        assert statuses([await call(house, token) for token in tokens]) == [200] * 6 + [429] * 2


async def test_requests_at_once_are_counted_like_requests_in_a_row(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with limits(tmp_path, clock, team, rate=60) as house:
        token = team.token("alice@example.com")
        answers = await asyncio.gather(*(call(house, token) for _ in range(30)))
        assert statuses(answers).count(200) == 6


async def test_each_address_of_the_lan_has_its_own_limit(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with limits(tmp_path, clock, team, rate=60) as house:
        here = httpx2.AsyncHTTPTransport(local_address="127.0.0.2")
        async with httpx2.AsyncClient(transport=here, trust_env=False) as neighbour:
            assert statuses([await call(house, None) for _ in range(9)])[-1] == 429
            assert (await neighbour.post(f"{house.lan}/mcp", json=PING, headers=MCP)).status_code == 200


async def test_a_supervisor_still_sees_a_limited_server_live(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with limits(tmp_path, clock, team, rate=60) as house:
        assert statuses([await call(house, None) for _ in range(9)])[-1] == 429
        for path in ("/healthz", "/readyz", "/metrics"):
            assert statuses([await house.lan_request(path=path) for _ in range(9)]) == [200] * 9


async def test_at_the_tunnel_every_path_counts(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with limits(tmp_path, clock, team, rate=60) as house:
        token = team.token("alice@example.com")
        paths = ["/healthz", "/nothing", "/mcp/", "/healthz", "/nothing", "/mcp", "/healthz"]
        answers = [await house.tunnel_request(path=path, token=token) for path in paths]
        assert statuses(answers)[-1] == 429
        assert 429 not in statuses(answers)[:-1]
        head = await house.tunnel_request("HEAD", token=token)
        assert (head.status_code, head.content) == (429, b"")


# Refusals of one address, before anybody is known.


async def test_an_address_gets_429_after_its_refusals_and_what_retry_after_says_is_true(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with limits(tmp_path, clock, team, attempts=60) as house:
        answers = [await house.tunnel_request(headers=ATTACKER) for _ in range(32)]
        assert statuses(answers) == [401] * 30 + [429] * 2
        assert answers[-1].json()["error"] == "rate_limited"
        clock.advance(int(answers[-1].headers["retry-after"]))
        assert statuses([await house.tunnel_request(headers=ATTACKER) for _ in range(2)]) == [401, 429]
        assert (await house.tunnel_request(headers=OTHER)).status_code == 401


async def test_every_kind_of_refusal_counts_and_ends_in_the_same_answer(
    tmp_path: Path, clock: Clock, team: Team, signing_keys: tuple[SigningKey, ...]
) -> None:
    async with limits(tmp_path, clock, team, attempts=20) as house:
        forged = team.token(key=signing_keys[2], headers={"kid": team.current.kid})
        kinds: list[tuple[str, str | None, dict[str, str]]] = [
            ("/healthz", None, {}),
            ("/healthz", "junk", {}),
            ("/healthz", forged, {}),
            ("/a//b", None, {}),
            ("/healthz", None, {"Host": "evil.example"}),
            ("/healthz", None, {"Origin": "https://evil.example"}),
        ]

        async def ask(path: str, token: str | None, more: dict[str, str]) -> httpx2.Response:
            return await house.tunnel_request(path=path, token=token, headers={**ATTACKER, **more})

        assert {(await ask(*kind)).status_code for kind in kinds} == {400, 401, 403, 421}
        for _ in range(2):
            last = [await ask(*kind) for kind in kinds]
        assert len({(answer.status_code, answer.content) for answer in last}) == 1
        assert last[0].status_code == 429


async def test_a_person_who_is_known_comes_in_behind_the_worst_address(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with limits(tmp_path, clock, team, attempts=60) as house:
        token = team.token("alice@example.com")
        assert (await call(house, token, ATTACKER)).status_code == 200
        await asyncio.gather(*(house.tunnel_request(headers=ATTACKER) for _ in range(200)))
        assert statuses([await call(house, token, ATTACKER) for _ in range(50)]) == [200] * 50


async def test_a_person_who_is_new_comes_in_behind_the_worst_address_too(
    tmp_path: Path, clock: Clock, team: Team, signing_keys: tuple[SigningKey, ...]
) -> None:
    forged = team.token(key=signing_keys[2], headers={"kid": team.current.kid})
    async with limits(tmp_path, clock, team, attempts=60) as house:
        await house.tunnel_request(token=team.token())  # the keys are there
        for bad in (None, "junk", forged):
            flood = (house.tunnel_request(token=bad, headers=ATTACKER) for _ in range(60))
            assert statuses(await asyncio.gather(*flood))[-1] == 429
            assert (await call(house, team.token("bob@example.com"), ATTACKER)).status_code == 200


async def test_forgeries_behind_a_limited_address_cost_no_fetch_of_keys(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with limits(tmp_path, clock, team, attempts=60) as house:
        await house.tunnel_request(token=team.token())
        for _ in range(40):
            await house.tunnel_request(headers=ATTACKER)
        before, made_up = team.certs.requests, team.token(headers={"kid": "made up"})
        clock.advance(100)  # past every cooldown
        for _ in range(40):
            await house.tunnel_request(headers=ATTACKER)
        assert (await house.tunnel_request(token=made_up, headers=ATTACKER)).status_code == 429
        assert team.certs.requests == before


async def test_without_one_usable_address_all_share_one_bucket(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with limits(tmp_path, clock, team, attempts=8) as house:
        nobody = [{}, {"Cf-Connecting-Ip": "unknown"}, {"Cf-Connecting-Ip": "1.2.3.4, 5.6.7.8"}, {}]
        answers = [await house.tunnel_request(headers=headers) for headers in nobody]
        assert statuses(answers) == [401] * 4
        assert statuses([await house.tunnel_request(headers=headers) for headers in nobody]) == [429] * 4


async def test_an_address_identifies_nobody(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with limits(tmp_path, clock, team, attempts=60) as house:
        token = team.token("alice@example.com")
        assert (await call(house, token, {"Cf-Connecting-Ip": "127.0.0.1"})).status_code == 200
        assert (await house.tunnel_request(headers={"Cf-Connecting-Ip": "127.0.0.1"})).status_code == 401


async def test_at_the_lan_door_a_misrouted_tunnel_is_limited_and_its_neighbours_are_not(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with limits(tmp_path, clock, team, attempts=60) as house:
        answers = [await house.lan_request(headers={"Cf-Ray": "1"}) for _ in range(32)]
        assert statuses(answers) == [421] * 30 + [429] * 2
        assert answers[-1].headers["retry-after"] == "1"
        assert statuses([await call(house, None) for _ in range(20)]) == [200] * 20
        clock.advance(1)
        assert (await house.lan_request(headers={"Cf-Ray": "1"})).status_code == 421


# What a flood leaves behind.


async def test_a_flood_is_counted_in_full_and_reported_once_a_minute(
    tmp_path: Path, clock: Clock, team: Team, caplog: pytest.LogCaptureFixture
) -> None:
    async with limits(tmp_path, clock, team, rate=60, attempts=10) as house:
        token = team.token("alice@example.com")
        caplog.set_level(logging.INFO, "brain")
        for _ in range(2):
            caplog.clear()
            for _ in range(55):
                await house.tunnel_request(headers=ATTACKER)
                await house.tunnel_request(token=token)
            events = [vars(record)["event"] for record in caplog.records if "event" in vars(record)]
            said = [event for event in events if event.reason.startswith("rate_limited")]
            assert sorted(event.principal for event in said) == ["", "alice@example.com"]
            assert {event.status for event in said} == {429}
            clock.advance(60)
        assert await counted(house, "rate_limited") == 2 * (55 - 5 + 55 - 6)


async def test_zero_is_no_limit(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with limits(tmp_path, clock, team) as house:
        token = team.token("alice@example.com")
        assert set(statuses([await call(house, token) for _ in range(100)])) == {200}
        assert set(statuses([await house.tunnel_request(headers=ATTACKER) for _ in range(100)])) == {401}


async def test_what_is_set_when_nothing_is_set(tmp_path: Path, clock: Clock, team: Team) -> None:
    async with limits(tmp_path, clock, team, rate=6000, attempts=60) as house:
        token = team.token("alice@example.com")
        answers = [await house.tunnel_request(token=token) for _ in range(601)]
        assert statuses(answers) == [200] * 600 + [429]

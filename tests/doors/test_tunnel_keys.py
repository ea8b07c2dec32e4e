"""Rotations and outages of the team, as a client at the tunnel door sees them."""

from __future__ import annotations

from pathlib import Path

from app.access.jwks import COOLDOWN, STALE_AFTER
from app.simulator import SigningKey, Team
from tests.house import Clock, TestHouse, open_house

Keys = tuple[SigningKey, SigningKey, SigningKey]


async def status(house: TestHouse, token: str) -> int:
    return (await house.tunnel_request(token=token)).status_code


async def test_when_keys_cannot_be_had_the_answer_is_503_and_says_when_to_come_back(house: TestHouse) -> None:
    house.team.down()
    answer = await house.tunnel_request(token=house.team.token())
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert answer.headers["retry-after"] == str(int(COOLDOWN))
    assert answer.headers["x-request-id"]
    assert "certs" not in answer.text
    assert (await house.tunnel_request()).status_code == 401  # no credential is no credential
    assert (await house.lan_request()).status_code == 200


async def test_an_outage_is_503_for_unknown_keys_and_200_for_known_ones(
    house: TestHouse, signing_keys: Keys
) -> None:
    assert await status(house, house.team.token()) == 200
    house.clock.advance(1)
    house.team.down()
    assert await status(house, house.team.token()) == 200
    assert await status(house, house.team.token(headers={"kid": "bogus"})) == 503
    house.team.rotate_keys(signing_keys[2])
    assert await status(house, house.team.token()) == 503
    house.team.up()
    house.clock.advance(COOLDOWN)
    assert await status(house, house.team.token()) == 200
    assert await status(house, house.team.token(headers={"kid": "bogus"})) == 401


async def test_a_rotation_is_not_noticed_by_anybody(house: TestHouse, signing_keys: Keys) -> None:
    old = house.team.token()
    assert await status(house, old) == 200
    house.team.rotate_keys(signing_keys[2])
    assert await status(house, house.team.token()) == 200
    assert await status(house, old) == 200


async def test_a_restart_during_an_outage_opens_the_door_as_before(
    tmp_path: Path, clock: Clock, team: Team
) -> None:
    async with open_house(tmp_path, clock, team) as house:
        assert await status(house, team.token()) == 200
        certs = house.access.certs_url
    team.down()
    clock.advance(STALE_AFTER - 10)
    async with open_house(tmp_path, clock, team, CF_ACCESS_CERTS_URL=certs) as house:
        assert await status(house, team.token()) == 200
        clock.advance(10)
        assert await status(house, team.token()) == 503


async def test_a_thousand_requests_of_one_person_check_one_signature_and_fetch_once(house: TestHouse) -> None:
    token = house.team.token()
    assert {await status(house, token) for _ in range(200)} == {200}
    assert house.team.certs.requests == 1

"""When keys are fetched, how often, and what happens when they cannot be."""

from __future__ import annotations

import asyncio
import json

import pytest

from app.access.claims import AssertionRefused, KeysUnavailable
from app.access.jwks import COOLDOWN, REFRESH_AFTER, STALE_AFTER

from .conftest import Bench

DAY = 86400.0


async def test_a_thousand_requests_cost_one_fetch(bench: Bench) -> None:
    for number in range(1000):
        await bench.keys.key(bench.team.current.kid if number % 2 else bench.team.previous.kid)
    assert bench.certs.requests == 1


async def test_a_hundred_first_requests_at_once_cost_one_fetch(bench: Bench) -> None:
    token = bench.team.token()
    identities = await asyncio.gather(*(bench.who(token) for _ in range(100)))
    assert {identity.principal.id for identity in identities} == {"alice@example.com"}
    assert bench.certs.requests == 1


@pytest.mark.parametrize("began", ["at the first start", "at a rotation"])
async def test_a_request_that_gives_up_does_not_take_the_fetch_of_the_others_with_it(
    bench: Bench, began: str
) -> None:
    if began == "at a rotation":
        await bench.who(bench.team.token())
        bench.team.rotate_keys(bench.other)
    before = bench.certs.requests
    bench.certs.hold()
    first, second = (asyncio.create_task(bench.who(bench.team.token())) for _ in range(2))
    await asyncio.sleep(0)  # both are on their way now
    first.cancel()
    bench.certs.release()
    assert (await second).principal.id == "alice@example.com"
    assert bench.certs.requests == before + 1


async def test_a_thousand_made_up_kids_cost_one_more_fetch(bench: Bench) -> None:
    await bench.who(bench.team.token())
    made_up = [bench.team.token(headers={"kid": f"bogus-{number}"}) for number in range(20)]
    for number in range(1000):
        assert await bench.reason(made_up[number % 20]) == "kid_unknown"
    assert bench.certs.requests == 2


async def test_made_up_kids_for_an_hour_cost_one_fetch_per_cooldown_at_most(bench: Bench) -> None:
    await bench.who(bench.team.token())
    for number in range(3600):
        bench.clock.advance(1)
        with pytest.raises(AssertionRefused):
            await bench.keys.key(f"bogus-{number}")
    assert bench.certs.requests <= 2 + 3600 / COOLDOWN


async def test_a_new_key_is_accepted_on_first_sight_right_after_a_regular_fetch(bench: Bench) -> None:
    await bench.who(bench.team.token())
    bench.team.rotate_keys(bench.other)
    assert (await bench.who(bench.team.token())).kid == bench.other.kid
    assert bench.certs.requests == 2


async def test_a_flood_of_made_up_kids_delays_a_new_key_by_the_cooldown_at_most(bench: Bench) -> None:
    await bench.who(bench.team.token())
    bench.team.certs.requests = 0
    assert await bench.reason(bench.team.token(headers={"kid": "bogus"})) == "kid_unknown"
    bench.team.rotate_keys(bench.other)
    assert await bench.reason(bench.team.token()) == "kid_unknown"
    bench.clock.advance(COOLDOWN)
    assert (await bench.who(bench.team.token())).kid == bench.other.kid


async def test_one_made_up_kid_is_not_looked_for_twice_within_a_minute(bench: Bench) -> None:
    await bench.who(bench.team.token())
    token = bench.team.token(headers={"kid": "bogus"})
    for _ in range(5):
        assert await bench.reason(token) == "kid_unknown"
        bench.clock.advance(COOLDOWN + 1)
    assert bench.certs.requests == 2


async def test_a_kid_that_joined_an_older_fetch_is_looked_for_again_after_the_cooldown(bench: Bench) -> None:
    """A fetch that began before a rotation proves nothing about the key that came with it."""
    await bench.who(bench.team.token())
    bench.clock.advance(REFRESH_AFTER)
    bench.certs.answers(json.dumps(bench.team.key_set()).encode())
    bench.certs.hold()
    await bench.who(bench.team.token("bob@example.com"))  # sets off the refresh, which hangs
    bench.team.rotate_keys(bench.other)
    joined = asyncio.create_task(bench.reason(bench.team.token()))
    await asyncio.sleep(0)
    bench.certs.release()
    assert await joined == "kid_unknown"
    bench.certs.normal()
    bench.clock.advance(COOLDOWN)
    assert (await bench.who(bench.team.token())).kid == bench.other.kid


async def test_keys_are_fetched_ahead_of_need_and_nobody_waits_for_it(bench: Bench) -> None:
    await bench.who(bench.team.token())
    bench.team.rotate_keys(bench.other)
    bench.clock.advance(REFRESH_AFTER)
    bench.certs.hold()
    old = bench.team.token(key=bench.team.previous)
    assert (await bench.who(old)).kid == bench.team.previous.kid  # while the endpoint hangs
    bench.certs.release()
    await bench.fresh()
    assert bench.certs.requests == 2


async def test_a_token_that_is_known_keeps_the_keys_fresh_too(bench: Bench) -> None:
    token = bench.team.token(exp=int(bench.clock()) + 20 * 86400)
    await bench.who(token)
    bench.clock.advance(REFRESH_AFTER)
    await bench.who(token)
    await bench.fresh()
    assert bench.certs.requests == 2


async def test_an_outage_changes_nothing_for_seven_days_and_then_the_answer_is_try_again(
    bench: Bench,
) -> None:
    await bench.who(bench.team.token())
    bench.team.down()
    bench.clock.advance(STALE_AFTER - 1)
    assert (await bench.who(bench.team.token())).principal.id == "alice@example.com"
    bench.clock.advance(1)
    with pytest.raises(KeysUnavailable) as unavailable:
        await bench.who(bench.team.token())
    assert (unavailable.value.status, unavailable.value.retry_after) == (503, int(COOLDOWN))


async def test_a_known_token_is_not_believed_longer_than_the_keys_are(bench: Bench) -> None:
    token = bench.team.token(exp=int(bench.clock()) + 20 * 86400)
    await bench.who(token)
    bench.team.down()
    bench.clock.advance(STALE_AFTER)
    with pytest.raises(KeysUnavailable):
        await bench.who(token)


async def test_an_outage_is_over_when_it_is_over(bench: Bench) -> None:
    await bench.access.refuse_access()
    with pytest.raises(KeysUnavailable):
        await bench.who(bench.team.token())
    await bench.access.restore_access()
    with pytest.raises(KeysUnavailable):
        await bench.who(bench.team.token())  # the cooldown of failures: no second knock
    bench.clock.advance(COOLDOWN)
    assert (await bench.who(bench.team.token())).principal.id == "alice@example.com"


async def test_a_new_kid_during_an_outage_is_not_called_unknown(bench: Bench) -> None:
    await bench.who(bench.team.token())
    bench.team.down()
    bench.team.rotate_keys(bench.other)
    token = bench.team.token()
    bench.clock.advance(1)
    for _ in range(50):
        with pytest.raises(KeysUnavailable):
            await bench.who(token)
    assert bench.certs.requests == 2
    bench.team.up()
    bench.clock.advance(COOLDOWN)
    assert (await bench.who(token)).kid == bench.other.kid  # not held against it that it was seen before


async def test_a_clock_set_back_by_days_fetches_anew_instead_of_trusting_old_keys_for_longer(
    bench: Bench,
) -> None:
    await bench.who(bench.team.token())
    bench.clock.advance(-3 * DAY)
    await bench.who(bench.team.token())
    assert bench.certs.requests == 2
    bench.clock.advance(-1)
    await bench.who(bench.team.token())
    assert bench.certs.requests == 2

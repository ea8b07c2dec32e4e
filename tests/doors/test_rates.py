"""Buckets and attempts by themselves: how much, how long, and how much memory a flood can take."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.access.claims import AssertionRefused, KeysUnavailable
from app.doors.http import BadOrigin, BadRequest, TooLarge, WrongHost
from app.doors.rates import (
    CHECKS,
    MAX_KEYS,
    SHARED,
    Attempts,
    Buckets,
    LimitedAgain,
    RateLimited,
    network_of,
    one_address,
)
from app.errors import AppError
from app.policy.denies import Denied, DoorClosed
from app.policy.rules import principal_named
from tests.house import START, Clock

A, B = "203.0.113.7", "203.0.113.8"
BOB = principal_named("bob@example.com")
GOOD, FORGED, JUNK = b"good", b"forged", b"junk"


def taken(buckets: Buckets, key: str, now: float, tries: int) -> int:
    return sum(not buckets.take(key, now) for _ in range(tries))


def test_a_burst_at_once_and_then_the_rate() -> None:
    buckets = Buckets(60, 30)
    assert taken(buckets, A, START, 100) == 30
    assert [taken(buckets, A, START + second, 100) for second in range(1, 6)] == [1] * 5
    assert taken(buckets, A, START + 3600, 100) == 30


@given(
    per_minute=st.integers(1, 100_000),
    burst=st.integers(1, 1000),
    steps=st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50)), max_size=30),
)
def test_never_more_than_the_burst_and_the_rate_together(
    per_minute: int, burst: int, steps: list[tuple[float, int]]
) -> None:
    buckets, now, total = Buckets(per_minute, burst), START, 0
    for seconds, tries in steps:
        now += seconds
        total += taken(buckets, A, now, tries)
        assert total <= burst + (now - START) * per_minute / 60 + 0.6


@given(per_minute=st.integers(1, 100_000), burst=st.integers(1, 1000), later=st.floats(0, 10))
def test_what_a_refusal_says_is_true(per_minute: int, burst: int, later: float) -> None:
    buckets = Buckets(per_minute, burst)
    taken(buckets, A, START, burst)
    wait = buckets.take(A, START + later)
    if wait:
        limited = RateLimited(wait)
        assert limited.retry_after is not None
        assert buckets.take(A, START + later + limited.retry_after) == 0
        assert limited.retry_after < wait + 1 or limited.retry_after == 1


def test_one_key_never_takes_from_another() -> None:
    buckets = Buckets(60, 30)
    taken(buckets, A, START, 1000)
    assert taken(buckets, B, START, 30) == 30


def test_a_clock_that_is_set_back_locks_nobody_out_for_long() -> None:
    buckets = Buckets(60, 30)
    taken(buckets, A, START, 100)
    assert buckets.wait(A, START - 86400) <= 1.0
    assert not buckets.take(A, START - 86400 + 1)


def test_a_million_addresses_keep_the_memory_bounded_and_the_offender_limited() -> None:
    buckets, now = Buckets(60, 30), START
    for _ in range(100):
        buckets.take(A, now)
    for number in range(1_000_000):
        buckets.take(number, now)
        if number % 50_000 == 0:
            now += 1
            buckets.take(A, now)  # keeps trying, as offenders do
            assert buckets.wait(A, now) > 0
            assert len(buckets) <= MAX_KEYS
    assert len(buckets) <= MAX_KEYS


def test_the_flood_as_a_whole_has_a_limit_too() -> None:
    buckets = Buckets(60, 30)
    passed = sum(not buckets.take(number, START) for number in range(200_000))
    assert passed <= MAX_KEYS + 30 * SHARED


def test_after_the_flood_there_is_room_again() -> None:
    buckets = Buckets(60, 30, size=100)
    for number in range(1000):
        buckets.take(number, START)
    assert taken(buckets, A, START + 60, 100) == 30
    assert taken(buckets, B, START + 60, 100) == 30


def test_in_any_order_no_key_that_is_at_its_limit_is_forgotten() -> None:
    choose, buckets = random.Random(7), Buckets(60, 30, size=50)
    offenders = [f"offender {number}" for number in range(40)]
    for offender in offenders:
        taken(buckets, offender, START, 30)
    for _ in range(5000):
        buckets.take(choose.randrange(10_000), START + choose.random())
        assert buckets.wait(choose.choice(offenders), START) > 0


ADDRESSES = [
    ("203.0.113.7", "203.0.113.7"),
    ("::ffff:203.0.113.7", "203.0.113.7"),
    ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
    ("2001:DB8:1:2:ffff::1", "2001:db8:1:2::/64"),
    ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
    ("fe80::1%eth0", "fe80::/64"),
    ("::1", "::/64"),
    ("", ""),
    ("unknown", ""),
    ("203.0.113.7, 10.0.0.1", ""),
    ("203.0.113.7:443", ""),
    ("0x7f000001", ""),
    ("127.1", ""),
    ("1" * 10_000, ""),
]


@pytest.mark.parametrize(("address", "network"), ADDRESSES)
def test_an_address_is_one_subscriber_and_anything_else_is_nobody_in_particular(
    address: str, network: str
) -> None:
    assert network_of(address) == network


def test_two_address_headers_are_none() -> None:
    assert one_address([b"203.0.113.7"]) == A
    assert one_address([]) == ""
    assert one_address([b"203.0.113.7", b"203.0.113.8"]) == ""
    assert network_of(one_address([b"\xff\xfe"])) == ""


# Attempts.


def attempts(clock: Clock, per_minute: int = 60) -> Attempts:
    return Attempts(
        per_minute, clock, known=lambda token: token == GOOD, may_be_good=lambda token: token == FORGED
    )


def refusals(one: Attempts, address: str, times: int) -> list[AppError]:
    return [one.counted(address, AssertionRefused("missing")) for _ in range(times)]


def lets_try(one: Attempts, address: str, assertion: bytes) -> bool:
    try:
        one.let_try(address, assertion)
    except RateLimited:
        return False
    return True


def test_the_first_refusals_stay_what_they_are_and_the_rest_say_how_long_to_wait(clock: Clock) -> None:
    one = attempts(clock)
    answers = refusals(one, A, 40)
    assert [answer.status for answer in answers] == [401] * 30 + [429] * 10
    assert {answer.retry_after for answer in answers[30:]} == {1}
    clock.advance(1)
    assert [answer.status for answer in refusals(one, A, 2)] == [401, 429]


@pytest.mark.parametrize("refused", [BadRequest(""), WrongHost(""), BadOrigin(""), AssertionRefused("aud")])
def test_every_refusal_before_anybody_is_known_counts(clock: Clock, refused: AppError) -> None:
    one = attempts(clock)
    refusals(one, A, 30)
    assert one.counted(A, refused).status == 429


@pytest.mark.parametrize(
    "refused", [KeysUnavailable("", retry_after=10), DoorClosed(), Denied(BOB), TooLarge("")]
)
def test_what_is_not_an_attempt_neither_counts_nor_changes(clock: Clock, refused: AppError) -> None:
    one = attempts(clock)
    assert {one.counted(A, refused) for _ in range(100)} == {refused}
    assert lets_try(one, A, JUNK)
    refusals(one, A, 30)
    assert one.counted(A, refused) is refused


def test_a_limited_address_gets_no_arithmetic_for_what_cannot_be_good(clock: Clock) -> None:
    one = attempts(clock)
    refusals(one, A, 30)
    assert not lets_try(one, A, JUNK)
    assert lets_try(one, B, JUNK)


def test_a_known_assertion_passes_behind_any_address_and_however_many_others_fail(clock: Clock) -> None:
    one = attempts(clock)
    refusals(one, A, 10_000)
    assert all(lets_try(one, A, GOOD) for _ in range(10_000))


def test_what_may_be_good_is_still_checked_behind_a_limited_address_up_to_a_bound_for_all(
    clock: Clock,
) -> None:
    one = attempts(clock)
    refusals(one, A, 30)
    refusals(one, B, 30)
    assert sum(lets_try(one, address, FORGED) for address in (A, B) * 1000) == CHECKS
    clock.advance(1)
    refusals(one, A, 1)
    refusals(one, B, 1)
    assert sum(lets_try(one, address, FORGED) for address in (A, B) * 1000) == CHECKS


def test_a_limited_address_is_reported_once_a_minute_however_often_it_comes(clock: Clock) -> None:
    one = attempts(clock)
    loud = []
    for _ in range(120):
        answers = refusals(one, A, 50)
        loud += [a for a in answers if isinstance(a, RateLimited) and not isinstance(a, LimitedAgain)]
        clock.advance(1)
    assert len(loud) == 2
    assert {answer.detail for answer in loud} == {f"refusals of {A}"}


def test_a_flood_from_a_million_addresses_is_limited_as_a_whole_and_reported_in_one_line(
    clock: Clock,
) -> None:
    one, answers = attempts(clock), []
    for number in range(65_536):
        answers += refusals(one, f"2001:db8:0:{number:x}::1", 2)
    assert sum(answer.status == 401 for answer in answers) == 30 * SHARED
    loud = [a for a in answers if isinstance(a, RateLimited) and not isinstance(a, LimitedAgain)]
    assert [answer.detail for answer in loud] == ["refusals of everybody"]
    assert not lets_try(one, B, JUNK)
    assert lets_try(one, B, GOOD)
    assert lets_try(one, B, FORGED)
    clock.advance(60)
    assert one.counted(B, AssertionRefused("missing")).status == 401


def test_all_without_a_usable_address_share_one_bucket(clock: Clock) -> None:
    one = attempts(clock)
    refusals(one, "", 15)
    refusals(one, "unknown", 15)
    assert one.counted("10.0.0.1, 10.0.0.2", AssertionRefused("missing")).status == 429


def test_zero_limits_nothing(clock: Clock) -> None:
    one = attempts(clock, 0)
    assert {answer.status for answer in refusals(one, A, 1000)} == {401}
    assert lets_try(one, A, JUNK)


@pytest.mark.parametrize("per_minute", [1, 2, 3])
def test_the_smallest_limits_still_let_one_try(clock: Clock, per_minute: int) -> None:
    one = attempts(clock, per_minute)
    assert [answer.status for answer in refusals(one, A, 2)] == [401, 429]

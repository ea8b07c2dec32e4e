"""How long it stays open."""

from __future__ import annotations

import asyncio
from datetime import datetime

import pytest

from app.kept_open import until, wait_out
from app.welcome import welcome
from tests.provision.desk import intended
from tests.provision.test_plan import EMPTY

HOUR = 3600.0
AT = datetime(2026, 11, 29, 16, 42).timestamp()  # local time


async def test_a_machine_that_slept_through_the_time_ends_it_as_soon_as_it_wakes() -> None:
    clock = iter([AT, AT, AT + 9 * HOUR])
    async with asyncio.timeout(20):
        await wait_out(2 * HOUR, lambda: next(clock), look_every=0.01)


async def test_a_clock_that_is_set_back_does_not_prolong_it() -> None:
    clock = [AT]

    def slower() -> float:
        clock[0] -= 60
        return clock[0]

    async with asyncio.timeout(20):
        await wait_out(0.05, slower, look_every=0.01)


@pytest.mark.parametrize(
    ("ttl", "end", "length"),
    [
        (2 * HOUR, "2026-11-29 18:42:00", "2h"),
        (90 * 60, "2026-11-29 18:12:00", "90m"),
        (7 * 24 * HOUR, "2026-12-06 16:42:00", "7d"),
        (30, "2026-11-29 16:42:30", "30s"),
    ],
)
def test_whoever_opens_it_for_a_while_reads_until_when(ttl: float, end: str, length: str) -> None:
    zone = datetime.fromtimestamp(AT + ttl).astimezone().tzname()
    said = welcome("https://brain.example.com", intended(), EMPTY, AT, until(ttl, AT))
    assert f"OPEN: https://brain.example.com/mcp until {end} {zone} ({length})\n" in said


def test_without_an_end_none_is_said() -> None:
    said = welcome("https://brain.example.com", intended(), EMPTY, AT)
    assert "OPEN: https://brain.example.com/mcp\n" in said

"""How long it stays open, and until when in the words of whoever looks at a clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"))


async def wait_out(ttl: float, now: Callable[[], float], *, look_every: float = 1.0) -> None:
    """Returns when so many seconds are over. By the clock on the wall as well, because that is what was
    promised, and the other one stands still while a machine sleeps."""
    loop = asyncio.get_running_loop()
    wall, end = now() + ttl, loop.time() + ttl
    while (left := min(wall - now(), end - loop.time())) > 0:  # noqa: ASYNC110 - no clock sets an event
        await asyncio.sleep(min(left, look_every))


def until(ttl: float, now: float) -> str:
    """`until 2026-11-29 18:42:00 CET (2h)`: in this machine's time."""
    return f"until {datetime.fromtimestamp(now + ttl).astimezone():%Y-%m-%d %H:%M:%S %Z} ({_length(ttl)})"


def _length(seconds: float) -> str:
    """As `--ttl` takes it."""
    whole = round(seconds)
    return next((f"{whole // size}{unit}" for size, unit in _UNITS if whole % size == 0), f"{whole}s")

"""While it is open: for how long, and what has to be said when the policy changes meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from math import inf

from app.policy.file import PolicyFile
from app.policy.rules import Policy
from app.provision.files import StateUnusable, TunnelFiles
from app.provision.named import behind

_UNITS = ((86_400, "d"), (3600, "h"), (60, "m"))


async def keep_open(
    ttl: float | None,
    now: Callable[[], float],
    look: Callable[[], None] = lambda: None,
    *,
    look_every: float = 1.0,
) -> None:
    """Returns when so many seconds are over; with None never. Calls `look` all the time.

    By the clock on the wall as well, because that is what was promised, and the other one stands still while
    a machine sleeps."""
    loop = asyncio.get_running_loop()
    length = inf if ttl is None else ttl
    wall, end = now() + length, loop.time() + length
    while (left := min(wall - now(), end - loop.time())) > 0:
        await asyncio.sleep(min(left, look_every))
        look()


def reloads_told(policy: PolicyFile, files: TunnelFiles, say: Callable[[str], None]) -> Callable[[], None]:
    """To be called all the time: says of each new policy whom Access lets in otherwise. The first is new as
    well: between what was applied and here are minutes."""
    seen: Policy | None = None

    def look() -> None:
        nonlocal seen
        if (current := policy.current()) is seen:
            return
        seen = current
        with contextlib.suppress(StateUnusable):  # the next `brain tunnel` tells
            if sentence := behind(files.state(), current.rules):
                say(f"The policy is another. {sentence}")

    return look


def until(ttl: float, now: float) -> str:
    """`until 2026-11-29 18:42:00 CET (2h)`: in this machine's time."""
    return f"until {datetime.fromtimestamp(now + ttl).astimezone():%Y-%m-%d %H:%M:%S %Z} ({_length(ttl)})"


def _length(seconds: float) -> str:
    """As `--ttl` takes it."""
    whole = round(seconds)
    return next((f"{whole // size}{unit}" for size, unit in _UNITS if whole % size == 0), f"{whole}s")

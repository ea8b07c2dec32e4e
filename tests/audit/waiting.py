"""Waiting for what another task or process does, never longer than it is promised."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


async def until(holds: Callable[[], bool], seconds: float = 10.0) -> float:
    """Seconds until it held. Raises TimeoutError when it did not within `seconds`."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not holds():
        if loop.time() - began > seconds:
            raise TimeoutError(f"not within {seconds} s")
        await asyncio.sleep(0.005)
    return loop.time() - began


async def until_true(holds: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """The same for what has to be asked for. Raises TimeoutError."""
    end = asyncio.get_running_loop().time() + seconds
    while not await holds():
        if asyncio.get_running_loop().time() > end:
            raise TimeoutError(f"not within {seconds} s")
        await asyncio.sleep(0.02)

"""Work for a request, where nothing of the request can be read."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

import pytest

from app.upstreams.apart import Apart

secret: ContextVar[str] = ContextVar("secret", default="nothing")
KINDS = pytest.mark.parametrize("strange", [False, True])


@KINDS
async def test_sees_nothing_of_the_request_at_any_step_and_leaves_nothing_in_it(strange: bool) -> None:
    seen = []

    async def look() -> str:
        for _ in range(3):
            seen.append(secret.get())
            await asyncio.sleep(0)
        await asyncio.create_task(asyncio.sleep(0))
        seen.append(secret.get())
        secret.set("of the upstream")
        await asyncio.sleep(0)
        return secret.get()

    secret.set("of the caller")
    assert await Apart(strange=strange).run(look()) == "of the upstream"
    assert secret.get() == "of the caller"
    assert set(seen) == {"nothing"}


@KINDS
async def test_what_it_raises_is_raised(strange: bool) -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("it")

    with pytest.raises(KeyError, match="it"):
        await Apart(strange=strange).run(fail())


@KINDS
async def test_is_cancelled_with_the_request_and_counted_while_it_lasts(strange: bool) -> None:
    apart, heard = Apart(strange=strange), asyncio.Event()

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            heard.set()
            raise

    task = asyncio.create_task(apart.run(wait()))
    await asyncio.sleep(0.01)
    assert len(apart) == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(heard.wait(), 1)
    await asyncio.sleep(0.01)
    assert len(apart) == 0


@KINDS
async def test_a_time_that_runs_out_inside_is_no_end_of_the_request(strange: bool) -> None:
    async def limited() -> str:
        try:
            async with asyncio.timeout(0.01):
                await asyncio.Event().wait()
        except TimeoutError:
            await asyncio.sleep(0)
            return "too late"
        return "never"

    assert await Apart(strange=strange).run(limited()) == "too late"


async def test_strange_work_that_does_not_end_keeps_nobody() -> None:
    async def stubborn() -> None:
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                if over.is_set():
                    raise

    over = asyncio.Event()
    before = asyncio.all_tasks()
    task = asyncio.create_task(Apart(strange=True).run(stubborn()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 1)
    over.set()
    for left in asyncio.all_tasks() - before:
        left.cancel()

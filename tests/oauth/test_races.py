"""Single use and rotation across processes on one database: H16, J12, Q8."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

from app.oauth.models import fingerprint_of

from .desk import Desk, successor

RACER = Path(__file__).parent / "racer.py"


async def start(desk: Desk, what: str, value: str) -> Process:
    file = desk.store._database.path
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.oauth.racer", str(file), what, value, str(desk.clock()),
        stdin=PIPE, stdout=PIPE, cwd=RACER.parents[2],
    )  # fmt: skip
    assert process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    return process


async def race(desk: Desk, what: str, value: str) -> list[int]:
    """How often each of two processes won, ten tries each, all at once."""
    processes = [await start(desk, what, value) for _ in range(2)]
    answers = await asyncio.gather(*(process.communicate(b"go\n") for process in processes))
    assert [process.returncode for process in processes] == [0, 0]
    return [int(out) for out, _ in answers]


async def test_H16_Q8_two_processes_use_a_code_once(desk: Desk) -> None:
    code = await desk.code(await desk.register())
    assert sum(await race(desk, "code", fingerprint_of(code))) == 1


async def test_J12_Q8_two_processes_that_share_a_token_stay_one_chain(desk: Desk) -> None:
    client = await desk.register()
    tokens = await desk.tokens(client)
    old = tokens["refresh_token"]
    assert await race(desk, "refresh", old) == [10, 10]
    async with desk.store._database.read() as connection:
        live = await connection.exec_driver_sql(
            "SELECT sha256 FROM oauth_refresh_tokens WHERE rotated_at IS NULL"
        )
        assert [row[0] for row in live] == [fingerprint_of(successor(old))]
    assert (await desk.refresh(client, successor(old))).status_code == 200


async def test_Q11_all_that_has_ended_is_gone_in_time(desk: Desk) -> None:
    client = await desk.register()
    tokens = await desk.tokens(client)
    await desk.ask(client, scope="mcp:tools:write")
    await desk.call("/revoke", client, token=tokens["access_token"])
    desk.clock.advance(400 * 86_400)
    assert await desk.store.collect_garbage(desk.clock()) == 6
    assert await desk.store.clients() == ()
    assert await desk.store.collect_garbage(desk.clock()) == 0


async def test_Q7_a_restart_forgets_nothing_that_was_given(desk: Desk) -> None:
    client = await desk.register()
    tokens = await desk.tokens(client)
    await desk.store._database.close()  # the next statement opens it anew
    assert (await desk.refresh(client, tokens["refresh_token"])).status_code == 200

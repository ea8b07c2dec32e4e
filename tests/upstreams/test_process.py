"""How the process of an upstream ends, and what is heard of it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from app.upstreams.credentials import Credentials
from app.upstreams.process import LEFT_OUT, STDERR_LINE
from tests.audit.waiting import until

from .test_pipe import opened

WRITES = """
import signal
def write(*names):
    for name in names:
        open(name, "w").close()
def asked(*_):
    write("asked")
    os._exit(0)
signal.signal(signal.SIGTERM, asked)
say({"id": heard()["id"], "result": {"pid": os.getpid()}})
"""
WAITS = """
while True:
    time.sleep(10)
"""


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def is_dead(pid: int) -> bool:
    """Or waits for whoever inherited it to ask how it ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


def written(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def ended(folder: Path, program: str) -> int:
    """Its number, when it has been ended."""
    async with opened(folder, WRITES + program) as (pipe, _):
        pid: int = (await pipe.send_raw_request("x", None))["pid"]
    return pid


async def test_a_program_that_ends_with_its_input_has_the_time_to_do_so(tmp_path: Path) -> None:
    began = time.monotonic()
    pid = await ended(tmp_path, "sys.stdin.read()\ntime.sleep(0.1)\nwrite('clean')\n")
    assert is_gone(pid)
    assert written(tmp_path) == ["clean"]
    assert time.monotonic() - began < 1


async def test_one_that_does_not_is_asked_to_go(tmp_path: Path) -> None:
    pid = await ended(tmp_path, WAITS)
    assert is_gone(pid)
    assert written(tmp_path) == ["asked"]


async def test_one_that_misbehaved_is_not_asked(tmp_path: Path) -> None:
    floods = "sys.stdout.write('[]\\n' * 20)\nsys.stdout.flush()\n" + WAITS
    async with opened(tmp_path, WRITES + floods) as (pipe, running):
        pid = (await pipe.send_raw_request("x", None))["pid"]
        await running
    assert is_gone(pid)
    assert written(tmp_path) == []


async def test_it_is_ended_even_where_the_whole_loop_is(tmp_path: Path) -> None:
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nsay({'id': heard()['id'], 'result': {}})\n"

    async def lives() -> None:
        async with opened(tmp_path, WRITES + deaf + WAITS) as (pipe, _):
            there.set_result((await pipe.send_raw_request("x", None))["pid"])
            await pipe.send_raw_request("x", None)

    there: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(lives())
    pid = await there
    await until(lambda: _cancelled(task))
    await until(lambda: is_dead(pid), 0.5)


def _cancelled(task: asyncio.Task[None]) -> bool:
    """As `asyncio.run` does it with all that are left."""
    for one in asyncio.all_tasks() - {asyncio.current_task()}:
        one.cancel()
    return task.done()


async def test_however_often_its_end_is_cancelled_it_is_gone_with_its_children_afterwards(
    tmp_path: Path,
) -> None:
    deaf = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = os.fork()
if child:
    say({"id": heard()["id"], "result": {"pid": child}})
"""
    pids: list[int] = []
    there = asyncio.Event()

    async def lives() -> None:
        async with opened(tmp_path, WRITES + deaf + WAITS) as (pipe, _):
            pids.extend([(await pipe.send_raw_request("x", None))["pid"] for _ in range(2)])
            there.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(lives())
    await there.wait()
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=0.1)
    assert task.cancelled()
    assert len(pids) == 2
    assert is_gone(pids[0])
    await until(lambda: is_dead(pids[1]))
    assert asyncio.all_tasks() == {asyncio.current_task()}


TOKEN = "upstream-token-5d1e8c"


@pytest.mark.parametrize("after", [1990, 50_000, 65_000, 66_000, 1_000_000])
@pytest.mark.parametrize("end", ["", "\nnext\n"])
async def test_no_part_of_a_credential_is_said_however_long_its_line(
    tmp_path: Path, after: int, end: str
) -> None:
    said: list[str] = []
    program = f"""
sys.stderr.write("a" * 100 + {TOKEN!r} + "b" * {after} + {end!r})
sys.stderr.flush()
"""
    given = Credentials(secrets=(TOKEN,))
    async with opened(tmp_path, program, given=given, hear=said.append) as (_, running):
        await running
    whole = ("a" * 100 + "[redacted]" + "b" * after)[:STDERR_LINE]
    assert said[0] == (whole if after < 65_400 else LEFT_OUT)
    assert said[1:] == end.split()

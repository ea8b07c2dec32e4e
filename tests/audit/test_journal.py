"""Calls that are under way at somebody else's are on disk, whoever dies before they end."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sys
from asyncio.subprocess import PIPE
from dataclasses import replace
from pathlib import Path

import httpx2
import pytest

from app.audit.journal import ROOM, CallJournal
from app.audit.log import AuditLog, AuditUnavailable
from app.audit.takeover import ENDED_FIRST, left_over
from tests.cli.brain import Serving, brain, serving
from tests.house import Clock

from .chains import event
from .shelf import Broken, Shelf
from .tables import lines_in
from .waiting import until

# `KILLS=20 pytest tests/audit/test_journal.py` for more.
KILLS = int(os.environ.get("KILLS", "3"))
UPSTREAM = """
import asyncio, sys
from fastmcp import FastMCP
mcp = FastMCP("slow")
@mcp.tool
async def quick(text: str) -> str:
    return text
@mcp.tool
async def hangs() -> str:
    await asyncio.sleep(3600)
"""
POLICY = 'version = 1\n[scopes.them]\ntools = ["up_*"]\n[lan]\nscopes = ["*"]\n'
DYING = """
import asyncio, os, sys
from pathlib import Path
from app.audit.journal import CallJournal
from tests.audit.chains import event
async def main():
    journal = CallJournal(Path(sys.argv[1]), "dead")
    begun = [journal.begin(n, event(f"call {n}")) for n in range(4)]
    await asyncio.gather(*(one.on_disk for one in begun))
    journal.done([begun[1].number])
    print("ready", flush=True)
    await asyncio.sleep(3600)
asyncio.run(main())
"""


@pytest.fixture
def journal(tmp_path: Path) -> CallJournal:
    return CallJournal(tmp_path, "test")


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def waiting_in(folder: Path) -> list[str]:
    with left_over(folder) as calls:
        return [one.name for _, one in calls]


async def died(folder: Path) -> None:
    """A process that began four calls, ended one of them and was killed; while it lived nobody got at it."""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", DYING, str(folder), stdout=PIPE)
    assert process.stdout
    await process.stdout.readline()
    assert waiting_in(folder) == []
    process.kill()
    await process.communicate()


async def test_what_a_dead_process_has_left_is_taken_over_once_and_says_that_its_end_is_not_known(
    tmp_path: Path,
) -> None:
    await died(tmp_path)
    with left_over(tmp_path) as calls:
        assert [(at, one.name) for at, one in calls] == [(0, "call 0"), (2, "call 2"), (3, "call 3")]
        assert all(one.reason.endswith(ENDED_FIRST) for _, one in calls)
    assert files(tmp_path) == []


async def test_what_could_not_be_recorded_is_left_for_another_time(tmp_path: Path) -> None:
    await died(tmp_path)
    with pytest.raises(Broken), left_over(tmp_path):
        raise Broken("no storage")
    assert len(waiting_in(tmp_path)) == 3


async def test_a_line_that_was_cut_off_takes_no_other_with_it(tmp_path: Path) -> None:
    await died(tmp_path)
    cut(tmp_path / "calls-dead-1.journal")
    assert waiting_in(tmp_path) == ["call 0", "call 2", "after"]


def cut(file: Path) -> None:
    """Its last line in the middle, and a whole one after it."""
    lines = [line for line in file.read_text().split("\n") if line.startswith('{"call"')]
    after = lines[0].replace('"call":1', '"call":9').replace("call 0", "after")
    file.write_text(file.read_text().replace(lines[-1], lines[-1][:40]) + "\n" + after)


async def test_the_file_goes_when_every_call_has_ended_and_stays_when_one_has_not(
    tmp_path: Path, journal: CallJournal
) -> None:
    begun = journal.begin(0, event("call"))
    await begun.on_disk
    journal.done([begun.number])
    journal.close()
    assert files(tmp_path) == []
    other = CallJournal(tmp_path, "other")
    await other.begin(0, event("unended")).on_disk
    other.close()
    assert waiting_in(tmp_path) == ["unended"]


async def test_a_full_file_is_made_anew_with_what_is_under_way(tmp_path: Path, journal: CallJournal) -> None:
    """Also where there is no moment without a call."""
    big = replace(event("ended"), reason="x" * (ROOM // 4))
    await journal.begin(0, event("unended")).on_disk
    last = journal.begin(0, big)
    for _ in range(12):
        begun = journal.begin(0, big)
        await begun.on_disk
        journal.done([last.number])
        last = begun
    (file,) = tmp_path.glob("calls-test-*.journal")  # noqa: ASYNC240
    assert file.stat().st_size < 2 * ROOM
    journal.close()
    assert waiting_in(tmp_path) == ["unended", "ended"]


async def test_a_disk_that_is_full_for_a_while_is_used_again(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    journal = CallJournal(folder, "test")
    with pytest.raises(OSError):
        await journal.begin(0, event("call")).on_disk
    folder.mkdir()
    await journal.begin(0, event("call")).on_disk
    journal.close()
    assert waiting_in(folder) == ["call"]


async def test_a_journal_that_cannot_be_made_leaves_nothing_behind_and_is_tried_again(tmp_path: Path) -> None:
    """It is full, and there is one descriptor left where it needs two."""
    journal = CallJournal(tmp_path, "test")
    await journal.begin(0, event("first")).on_disk
    full = journal.begin(0, replace(event("full"), reason="x" * ROOM))
    await full.on_disk
    journal.done([full.number])
    free = [os.open(os.devnull, os.O_RDONLY) for _ in range(2)]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for descriptor in free:
        os.close(descriptor)
    taken = set(os.listdir("/proc/self/fd"))
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[1], hard))
    try:
        with pytest.raises(OSError):
            await journal.begin(0, event("refused")).on_disk
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert set(os.listdir("/proc/self/fd")) == taken
    assert not list(tmp_path.glob("*.new"))  # noqa: ASYNC240
    for name in ("next", "last"):
        await journal.begin(0, event(name)).on_disk
    journal.close()
    assert {"first", "next", "last"} <= set(waiting_in(tmp_path))


@pytest.mark.parametrize(
    "line", ["5", "[]", "null", '{"call": 1, "at": 0, "event": 5}', '{"done": 5}', "[" * 100_000]
)
async def test_what_is_no_call_is_passed_over(tmp_path: Path, line: str) -> None:
    await died(tmp_path)
    with (tmp_path / "calls-dead-1.journal").open("a") as file:
        file.write(f"\n{line}")
    assert len(waiting_in(tmp_path)) == 3


async def test_what_is_no_file_of_ours_is_left_alone(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("not yours")
    (tmp_path / "calls-link.journal").symlink_to(other)
    os.mkfifo(tmp_path / "calls-fifo.journal")
    assert waiting_in(tmp_path) == []
    assert other.read_text() == "not yours"


async def test_where_there_is_no_journal_the_whole_record_is_on_disk_before_the_answer(
    tmp_path: Path, clock: Clock
) -> None:
    shelf = Shelf()
    log = AuditLog(shelf, CallJournal(tmp_path / "nowhere", "test"), clock)
    async with log.running():
        begun = log.begin(event("begun"))
        await log.end(begun, event("ended"))
        assert shelf.kept == ["ended"]
        shelf.broken = Broken("no storage")
        with pytest.raises(AuditUnavailable):
            await log.end(log.begin(event("begun")), event("ended"))
        shelf.broken = None


async def test_an_end_is_on_record_soon_and_a_caller_who_hangs_up_changes_nothing_about_it(
    tmp_path: Path, clock: Clock, journal: CallJournal
) -> None:
    shelf = Shelf()
    log = AuditLog(shelf, journal, clock)
    async with log.running():
        impatient = asyncio.create_task(log.end(log.begin(event("begun")), event("hung up")))
        await asyncio.sleep(0)
        impatient.cancel()
        await log.end(log.begin(event("begun")), event("ended"))
        assert shelf.kept == []
        await until(lambda: sorted(shelf.kept) == ["ended", "hung up"])
    journal.close()
    assert files(tmp_path) == []


def with_upstream(folder: Path) -> Path:
    (folder / "data").mkdir()
    (folder / "slow.py").write_text(UPSTREAM)
    (folder / "policy.toml").write_text(POLICY)
    command = json.dumps([sys.executable, "-c", "from slow import mcp; mcp.run(show_banner=False)"])
    text = f'version = 1\n[upstream.up]\ncommand = {command}\ncwd = "{folder}"\n'
    (folder / "upstreams.toml").write_text(text)
    return folder / "data" / "brain.db"


async def call(http: httpx2.AsyncClient, server: Serving, tool: str, **arguments: str) -> str:
    params = {"name": tool, "arguments": arguments}
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
    answer = await http.post(f"http://127.0.0.1:{server.port}/mcp", json=body, headers=headers)
    return answer.text


async def test_a_server_killed_right_after_an_answer_or_in_a_call_leaves_no_call_without_a_record(
    tmp_path: Path,
) -> None:
    file = with_upstream(tmp_path)
    (tmp_path / ".env").write_text(f"POLICY_FILE=policy.toml\nUPSTREAMS_FILE={tmp_path / 'upstreams.toml'}\n")
    async with httpx2.AsyncClient(trust_env=False, timeout=20) as http:
        for n in range(KILLS):
            async with serving(tmp_path) as server:
                hanging = asyncio.create_task(call(http, server, "up_hangs"))
                assert f"word {n}" in await call(http, server, "up_quick", text=f"word {n}")
                server.process.kill()
                await asyncio.gather(hanging, return_exceptions=True)
    said = (await brain(tmp_path, "audit", "export")).out.splitlines()
    lines = [line for line in map(json.loads, said) if line["operation"] == "tools/call"]
    assert sum(line["name"] == "up_quick" for line in lines) == KILLS
    hung = [line for line in lines if line["name"] == "up_hangs"]
    assert len(hung) == KILLS
    assert all(line["status"] == 202 and ENDED_FIRST in line["reason"] for line in hung)
    assert (await brain(tmp_path, "audit", "verify")).code == 0
    assert [line for line in lines_in(file) if line["operation"] == "tools/call"] == lines

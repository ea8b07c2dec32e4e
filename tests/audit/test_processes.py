"""Several processes on one log, killed at any moment; a real server, and `brain deny` beside it."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sqlite3
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import closing
from pathlib import Path

import httpx2

from app.store.audit import known_key
from app.store.audit_check import verify_file
from tests.cli.brain import brain, serving

from .tables import lines_in, notes_and_their_records
from .waiting import until, until_true

# `KILLS=20 pytest tests/audit/test_processes.py` for more.
KILLS = int(os.environ.get("KILLS", "4"))


async def start(file: Path, name: str) -> Process:
    """Alive and acknowledging when it returns."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.audit.changer", str(file), name, stdout=PIPE
    )
    assert process.stdout
    await process.stdout.readuntil(b"\n")
    return process


async def killed(process: Process) -> int:
    """How many more changes it has acknowledged before it died."""
    process.kill()
    rest, _ = await process.communicate()
    return rest.count(b"\n")


def records_of_notes(file: Path) -> int:
    """How many notes there are of which the log does not know."""
    notes, records = notes_and_their_records(file)
    return notes - records


async def test_a_kill_at_any_moment_leaves_a_chain_that_holds_and_no_acknowledged_change_without_its_record(
    tmp_path: Path,
) -> None:
    file, acknowledged = tmp_path / "brain.db", 0
    for n in range(KILLS):
        process = await start(file, f"doomed {n}")
        await asyncio.sleep(random.uniform(0, 0.2))
        acknowledged += 1 + await killed(process)
        assert isinstance(verify_file(file, known_key(file.with_name("audit.key"))), int)
        notes, records = notes_and_their_records(file)
        assert notes == records >= acknowledged
    # Each started where the last one was torn away; the last of each may be unacknowledged.
    assert records <= acknowledged + 2 * KILLS


async def test_two_processes_write_one_chain_and_agree_on_the_key_they_make_at_once(tmp_path: Path) -> None:
    file = tmp_path / "brain.db"
    processes = await asyncio.gather(*(start(file, name) for name in ("one", "two")))
    await until(lambda: all(len(lines_in(file, f"request_id = '{who}'")) > 20 for who in ("one", "two")), 20)
    await asyncio.gather(*(killed(process) for process in processes))
    lines = lines_in(file)
    assert verify_file(file, known_key(file.with_name("audit.key"))) == len(lines)
    assert {line["request_id"] for line in lines} == {"one", "two"}
    assert records_of_notes(file) == 0


async def test_brain_deny_beside_a_running_server_counts_within_a_second_and_survives_its_restart(
    tmp_path: Path,
) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}

    async with httpx2.AsyncClient(trust_env=False, timeout=10) as http:

        async def listed(port: int) -> set[str]:
            answer = await http.post(f"http://127.0.0.1:{port}/mcp", json=body, headers=headers)
            return {tool["name"] for tool in answer.json()["result"]["tools"]}

        async with serving(tmp_path) as server:
            assert "create_note" in await listed(server.port)
            assert (await brain(tmp_path, "deny", "tool:create_note")).code == 0

            async def is_gone() -> bool:
                return "create_note" not in await listed(server.port)

            await until_true(is_gone, 1.0)
            assert "append_note" in await listed(server.port)
        async with serving(tmp_path) as again:
            assert "create_note" not in await listed(again.port)
            ran = await brain(tmp_path, "undeny", "tool:create_note", "--json")
            assert (ran.code, json.loads(ran.out)) == (
                0,
                {"undenied": "tool:create_note", "was_denied": True},
            )

            async def is_back() -> bool:
                return "create_note" in await listed(again.port)

            await until_true(is_back, 1.0)
    file = tmp_path / "data" / "brain.db"
    commands = lines_in(file, "door = 'cli'")
    assert [(line["operation"], line["name"], line["kind"]) for line in commands] == [
        ("brain/deny", "tool:create_note", "operator"),
        ("brain/undeny", "tool:create_note", "operator"),
    ]
    assert all(line["principal"] for line in commands)
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM denies").fetchone() == (0,)

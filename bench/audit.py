"""What the audit log costs: reads and writes at the tunnel door with it and without, and a bare commit."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import tempfile
import time
from pathlib import Path
from statistics import median

from app.simulator import Application, Simulator, Team, running
from bench.doors import HOST, Line, Series, our_server, rounds
from bench.load import MODERN

COMMITS = 300


async def measure() -> tuple[list[Line], float]:
    """Lines of read and write with and without; milliseconds of one durable insert in bare SQLite."""
    team = Team("acme", now=time.time)  # noqa: TID251
    async with running(Simulator(team, Application(origin="127.0.0.1:1", host=HOST))) as access:
        return await asyncio.to_thread(_measure, team, access.certs_url)


def _measure(team: Team, certs_url: str) -> tuple[list[Line], float]:
    warm = [[team.token("alice@example.com")]]
    with contextlib.ExitStack() as stack:
        silent = stack.enter_context(our_server(1, team, certs_url, "silent"))
        audited = stack.enter_context(our_server(1, team, certs_url, "ours"))
        lines = []
        for what, tool in (("read", "echo"), ("write a note", "create_note")):
            lines += rounds(
                [
                    Series(f"{what}, no audit", silent, "tunnel", MODERN, 1, warm, tool),
                    Series(f"{what}, audited", audited, "tunnel", MODERN, 1, warm, tool),
                ]
            )
    return lines, bare_commit()


def bare_commit() -> float:
    with tempfile.TemporaryDirectory() as folder:
        connection = sqlite3.connect(Path(folder) / "bare.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE t (a TEXT)")
        times = []
        for _ in range(COMMITS):
            began = time.perf_counter()
            connection.execute("INSERT INTO t VALUES ('some words')")
            times.append(time.perf_counter() - began)
        connection.close()
        return median(times) * 1000


if __name__ == "__main__":
    measured, commit = asyncio.run(measure())
    for line in measured:
        print(f"{line.name:24} {line.rps:7.0f}/s  p50 {line.p50_ms:.2f}  cpu {line.cpu_us:.0f}")
    print(f"bare commit {commit:.2f} ms")

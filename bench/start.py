"""How soon a server answers, and how much memory it has when idle, against a bare FastMCP server."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from statistics import median

from bench.doors import Server, free_port, process, rss_mb

ROUNDS = 5


def measure() -> dict[str, tuple[float, float]]:
    """Name → (seconds until it answers, MB when idle); medians, first starts on an empty folder included."""
    taken: dict[str, list[tuple[float, float]]] = {"bare FastMCP": [], "brain serve": []}
    for _ in range(ROUNDS):
        port = free_port()
        quiet = {"FASTMCP_CHECK_FOR_UPDATES": "off"}
        taken["bare FastMCP"].append(_start(["bench.servers", "stock", str(port), "1"], quiet, port))
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            environ = {"MCP_TRANSPORT": "http", "MCP_PORT": str(port), "DATA_DIR": folder}
            taken["brain serve"].append(_start(["app.cli.main", "serve"], environ, port))
    return {
        name: (median(seconds for seconds, _ in all_), median(mb for _, mb in all_))
        for name, all_ in taken.items()
    }


def _start(words: list[str], environ: dict[str, str], port: int) -> tuple[float, float]:
    began = time.perf_counter()
    with contextlib.ExitStack() as stack:
        server: Server = stack.enter_context(process(words, {**os.environ, **environ}, {"door": port}))
        return time.perf_counter() - began, rss_mb(server.pid)


if __name__ == "__main__":
    print(measure())

"""Where a client finds the server: the LAN door, the public address as two people, stdio, and SSE."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.simulator import SigningKey
from tests.house import Clock, new_team, open_house

NOTES = Path(__file__).parent / "notes"
BRAIN = Path(sys.executable).with_name("brain")
STDIO, SSE = "stdio", "sse"
NAMES = ("lan", "alice", "bob", STDIO, SSE)


@dataclass(frozen=True)
class Way:
    """`url` and `headers` for HTTP and SSE, or `command` and `env` for stdio."""

    name: str
    folder: Path
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)

    @property
    def may_write(self) -> bool:
        return self.name != "bob"


@contextlib.asynccontextmanager
async def ways(folder: Path) -> AsyncIterator[dict[str, Way]]:
    """Running servers, each with the same two notes imported, and the ways to them by name."""
    clock = Clock()
    team = new_team(clock, (SigningKey.generate(), SigningKey.generate()))
    data = data_folders(folder, "http", STDIO, SSE)
    async with (
        open_house(data["http"], clock, team) as http,
        open_house(data[SSE], clock, team, MCP_TRANSPORT="sse") as sse,
    ):
        found = [Way("lan", folder, f"{http.lan}/mcp")]
        for person in ("alice", "bob"):
            token = team.token(f"{person}@example.com")
            found.append(Way(person, folder, f"{http.access.edge_url}/mcp", {"cf-access-token": token}))
        found.append(Way(STDIO, folder, command=(str(BRAIN), "serve"), env=settings(data[STDIO])))
        found.append(Way(SSE, folder, f"{sse.lan}/sse"))
        yield {way.name: way for way in found}


def data_folders(folder: Path, first: str, *others: str) -> dict[str, Path]:
    """Folders for servers, by name, with the same notes that `brain notes import` put there."""
    data = folder / first
    data.mkdir()
    command = [str(BRAIN), "notes", "import", str(NOTES), "--json"]
    subprocess.run(command, env=settings(data), cwd=data, check=True, stdout=subprocess.DEVNULL)
    return {first: data} | {name: shutil.copytree(data, folder / name) for name in others}


def settings(folder: Path) -> dict[str, str]:
    """An environment with nothing but this: whatever is set on this machine does not reach the server."""
    return {"MCP_TRANSPORT": "stdio", "DATA_DIR": str(folder), "PATH": os.environ["PATH"]}

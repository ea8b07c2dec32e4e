"""The official suite's `authorization` command against the issuer, with a person at its browser."""

from __future__ import annotations

import asyncio
import json
import re
import tempfile
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

from rich.console import Console

from app.simulator.server import listen

from .node_clients import MODULES
from .place import Place, place

SCENARIOS = ("authorization-server-metadata-endpoint", "authorization-code-grant")
SECONDS = 60


async def run(node: Path, console: Console) -> bool:
    """Prints a line for each scenario; whether all of them pass."""
    with tempfile.TemporaryDirectory() as folder:
        async with place(Path(folder)) as here:
            code, found = await outcome(here, node)
    for scenario, bad in failing(found).items():
        console.print(
            f"conformance authorization, {scenario}: {'FAILS: ' + ', '.join(bad) if bad else 'pass'}"
        )
    return code == 0 and not any(failing(found).values())


def failing(found: dict[str, dict[str, str]]) -> dict[str, list[str]]:
    """By scenario, the checks that did not succeed; a scenario without checks has not run."""
    return {
        scenario: [check for check, status in checks.items() if status != "SUCCESS"] if checks else ["it"]
        for scenario, checks in found.items()
    }


async def outcome(here: Place, node: Path) -> tuple[int, dict[str, dict[str, str]]]:
    """The suite's exit code, and by scenario the status of each check. The second needs the first."""
    port = free_port()
    results = here.folder / "results"
    client = await here.person.http.post(
        f"{here.issuer}/register",
        json={
            "redirect_uris": [f"http://127.0.0.1:{port}/callback"],
            "token_endpoint_auth_method": "none",
            "client_name": "Conformance",
        },
    )
    program = MODULES / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"
    process = await asyncio.create_subprocess_exec(
        str(node), str(program), "authorization", "--url", here.issuer, "--resource", here.url,
        "--client-id", client.json()["client_id"], "--port", str(port), "--output-dir", str(results),
        stdin=PIPE, stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    said = []
    async with asyncio.timeout(SECONDS):
        while line := (await process.stdout.readline()).decode():
            said.append(line)
            if found := re.search(rf"{re.escape(here.issuer)}/authorize\?\S+", line):
                await here.person.visit(found[0])
        code = await process.wait()
    scenarios = {one: checks(results, one) for one in SCENARIOS}
    assert any(scenarios.values()), "".join(said)[-1500:]
    return code, scenarios


def checks(results: Path, scenario: str) -> dict[str, str]:
    files = [file for file in results.rglob("checks.json") if scenario in file.parent.name]
    return {check["id"]: check["status"] for file in files for check in json.loads(file.read_text())}


def free_port() -> int:
    with listen("127.0.0.1", 0) as bound:
        port: int = bound.getsockname()[1]
    return port

"""Runs the official suite against one address, and reads what it found."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

HERE = Path(__file__).parent
MILDEST = "SKIPPED"
SEVERITY = (MILDEST, "INFO", "SUCCESS", "WARNING", "FAILURE")
BAD = ("WARNING", "FAILURE")
_RUN_FOLDER = re.compile(r"^server-(.+)-\d{4}-\d\d-\d\dT[\d-]+Z$")


@dataclass(frozen=True)
class Suite:
    """`name` is also the folder of its expected failures; `package` its name in package.json."""

    name: str
    package: str
    options: tuple[str, ...]


SUITES = (
    Suite("0.1-all", "conformance-0.1", ("--suite", "all")),
    Suite("2025-11-25", "conformance-0.2", ("--requirements", "2025-11-25")),
    Suite("2026-07-28", "conformance-0.2", ("--requirements", "2026-07-28")),
)


@dataclass(frozen=True)
class Scenario:
    """What one scenario found: the worst status of each check id."""

    name: str
    checks: Mapping[str, str]

    @property
    def failing(self) -> list[str]:
        return sorted(check for check, status in self.checks.items() if status in BAD)


@dataclass(frozen=True)
class Verdict:
    """`word` is what the table shows; `surprise` is empty when it is as expected."""

    word: str
    surprise: str = ""


async def run(
    suite: Suite, url: str, node: Path, folder: Path, expected_failures: Path
) -> tuple[list[Scenario], int]:
    """Every scenario at `url`, by name, and the suite's own exit code. RuntimeError when it found nothing."""
    program = HERE / "node_modules" / suite.package / "dist" / "index.js"
    process = await asyncio.create_subprocess_exec(
        str(node),
        str(program),
        *("server", "--url", url, "-o", str(folder), *suite.options),
        *("--expected-failures", str(expected_failures)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    found = read_all(folder)
    if not found or process.returncode is None:
        raise RuntimeError(f"{suite.name} at {url} ended without results:\n{said.decode()[-2000:]}")
    return found, process.returncode


def read_all(folder: Path) -> list[Scenario]:
    return sorted((read(file) for file in folder.glob("*/checks.json")), key=lambda one: one.name)


def read(file: Path) -> Scenario:
    worst: dict[str, str] = {}
    for check in json.loads(file.read_text()):
        before = worst.get(check["id"], MILDEST)
        worst[check["id"]] = max(before, check["status"], key=SEVERITY.index)
    named = _RUN_FOLDER.match(file.parent.name)
    return Scenario(named[1] if named else file.parent.name, worst)


def expected_failures(flavour: str, suite: Suite) -> Path:
    return HERE / "expected" / f"{flavour}-{suite.name}.yml"


def entries_of(file: Path) -> frozenset[str]:
    """Entries of an expected-failures file: `scenario`, or (from 0.2 on) `scenario:check`."""
    return frozenset(str(entry) for entry in yaml.safe_load(file.read_text())["server"] or [])


def judge(scenario: Scenario, entries: Collection[str]) -> Verdict:
    """By the suite's own rules; but it applies them only to what a revision requires, and this to all."""
    failing = scenario.failing
    if scenario.name in entries:
        return Verdict("expected") if failing else Verdict("PASSES", "it passes, and is listed as failing")
    named = {entry.partition(":")[2] for entry in entries if entry.startswith(f"{scenario.name}:")}
    if unlisted := [check for check in failing if check not in named]:
        return Verdict("FAILS", ", ".join(unlisted))
    if cured := [check for check in sorted(named) if scenario.checks.get(check) == "SUCCESS"]:
        return Verdict("PASSES", f"{', '.join(cured)} passes, and is listed as failing")
    if failing:
        return Verdict("partly")
    return Verdict("pass" if "SUCCESS" in scenario.checks.values() else "n/a")


def unknown(entries: Collection[str], found: Collection[Scenario]) -> list[str]:
    """Entries whose scenario the suite does not run."""
    names = {scenario.name for scenario in found}
    return sorted(entry for entry in entries if entry.partition(":")[0] not in names)

"""`python -m tests.conformance`: two servers × three ways in × three suites, in one table."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from fastmcp import FastMCP
from rich.console import Console
from rich.table import Table

from tests.nodejs import NoNode, prepare

from . import stage, suite
from .everything import everything
from .suite import SUITES, Suite

FLAVOURS: dict[str, Callable[[], FastMCP | None]] = {"brain": lambda: None, "everything": everything}
WAYS_IN = ("lan", "tunnel", "edge")


@dataclass(frozen=True)
class Line:
    """One scenario at one way in."""

    flavour: str
    suite: str
    door: str
    scenario: str
    word: str
    surprise: str


def main() -> int:
    """0: all as expected (or nothing could run, with a line that says why); 1: surprises."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--server", choices=FLAVOURS, help="only this server")
    parser.add_argument("--suite", choices=[one.name for one in SUITES], help="only this suite")
    parser.add_argument("--json", action="store_true", help="print the lines as JSON")
    args = parser.parse_args()
    try:
        node = prepare(suite.HERE)
    except NoNode as problem:
        print(f"Conformance suite skipped: {problem}.", file=sys.stderr)
        return 0
    logging.disable(logging.ERROR)  # of failures that the suite asks for
    suites = [one for one in SUITES if args.suite in (None, one.name)]
    lines = []
    for flavour in FLAVOURS:
        if args.server in (None, flavour):
            lines += asyncio.run(run_flavour(flavour, suites, node))
    if args.json:
        print(json.dumps([asdict(line) for line in lines], indent=2))
    else:
        show(lines)
    return 1 if any(line.surprise for line in lines) else 0


async def run_flavour(flavour: str, suites: list[Suite], node: Path) -> list[Line]:
    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        data.mkdir()
        async with stage.doors(data, FLAVOURS[flavour]()) as urls:
            for one in suites:
                for door in WAYS_IN:
                    print(f"{flavour}, {one.name}, {door} …", file=sys.stderr, flush=True)
                    results = Path(folder) / f"{one.name}-{door}"
                    lines += await run_suite(flavour, one, door, urls[door], node, results)
    return lines


async def run_suite(flavour: str, one: Suite, door: str, url: str, node: Path, results: Path) -> list[Line]:
    file = suite.expected_failures(flavour, one)
    entries = suite.entries_of(file)
    found, exit_code = await suite.run(one, url, node, results, file)
    lines = []
    for scenario in found:
        verdict = suite.judge(scenario, entries)
        lines.append(Line(flavour, one.name, door, scenario.name, verdict.word, verdict.surprise))
    for entry in suite.unknown(entries, found):
        lines.append(Line(flavour, one.name, door, entry, "GONE", "listed as failing, and not run"))
    if exit_code != 0 and not any(line.surprise for line in lines):
        lines.append(Line(flavour, one.name, door, "(suite)", "FAILS", f"the suite exits with {exit_code}"))
    return lines


def show(lines: list[Line]) -> None:
    """A row for each scenario, a column for each suite and door; then what is not as expected."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    for flavour in FLAVOURS:
        own = [line for line in lines if line.flavour == flavour]
        if own:
            console.print(table(flavour, own))
    for line in lines:
        if line.surprise:
            console.print(f"{line.flavour}, {line.suite}, {line.door}: {line.scenario}: {line.surprise}")
    counts = {
        word: sum(line.word == word for line in lines) for word in sorted({line.word for line in lines})
    }
    console.print(", ".join(f"{count} {word}" for word, count in counts.items()))


def table(flavour: str, lines: list[Line]) -> Table:
    columns = list(dict.fromkeys((line.suite, line.door) for line in lines))
    words = {(line.scenario, line.suite, line.door): line.word for line in lines}
    drawn = Table(title=flavour, title_justify="left")
    drawn.add_column("scenario", no_wrap=True)
    for suite_name, door in columns:
        drawn.add_column(f"{suite_name}\n{door}")
    for scenario in dict.fromkeys(line.scenario for line in lines):
        drawn.add_row(scenario, *(words.get((scenario, *column), "") for column in columns))
    return drawn


if __name__ == "__main__":
    sys.exit(main())

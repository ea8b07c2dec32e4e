"""Which requirement of the authorization server is held by which test: `python -m tests.oauth.coverage`.

A test holds a requirement by naming its id: `test_F4_…`, `test_J10_J11_…` for several, or `test_A3_to_A12_…`
for all from one to the other. What no test holds needs a reason in `not_tested.tsv`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
COVERAGE = HERE / "COVERAGE.md"
_IDS = re.compile(r"test_((?:[A-Z]\d+_(?:to_(?=[A-Z]\d))?)+)")
_RANGE = re.compile(r"([A-Z])(\d+)(?:_to_\1(\d+))?(?=_)")


def requirements() -> dict[str, tuple[str, str, str]]:
    """id → (level, what is tried, what is expected)."""
    lines = (HERE / "requirements.tsv").read_text().splitlines()[1:]
    return {cells[0]: (cells[1], cells[2], cells[3]) for cells in (line.split("\t") for line in lines)}


def reasons() -> dict[str, str]:
    """id → why no test of ours can hold it."""
    lines = (HERE / "not_tested.tsv").read_text().splitlines()
    return dict(line.split("\t", 1) for line in lines if line.strip())


def ids_in(name: str) -> list[str]:
    """The ids that a test's name begins with."""
    match = _IDS.match(name)
    ranges = _RANGE.findall(match[1]) if match else []
    return [f"{group}{n}" for group, first, last in ranges for n in range(int(first), int(last or first) + 1)]


def named_tests() -> Iterator[tuple[str, str]]:
    """(id, file::test) of every test that names an id."""
    for folder in ("oauth", "interop"):
        for file in sorted((ROOT / "tests" / folder).rglob("test_*.py")):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    for found in ids_in(node.name):
                        yield found, f"{file.relative_to(ROOT)}::{node.name}"


def coverage() -> str:
    """The text of COVERAGE.md. Raises LookupError for a row that nothing holds."""
    tests: dict[str, list[str]] = {}
    for found, where in named_tests():
        tests.setdefault(found, []).append(where)
    rows, excused = requirements(), reasons()
    if missing := [row for row in rows if row not in tests and row not in excused]:
        raise LookupError(f"no test and no reason for: {', '.join(missing)}")
    lines = [
        "# What holds each requirement",
        "",
        "Written by `python -m tests.oauth.coverage` from the names of the tests. Levels: M must, S should,",
        "C needed by a named client, D our decision, O optional.",
        "",
        "| id | level | requirement | held by |",
        "|---|---|---|---|",
    ]
    for row, (level, what, expected) in rows.items():
        held = "<br>".join(f"`{one}`" for one in tests.get(row, [])) or f"not tested: {excused[row]}"
        lines.append(f"| {row} | {level} | {what} → {expected} | {held} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        COVERAGE.write_text(coverage())
    except LookupError as missing_rows:
        sys.exit(str(missing_rows))

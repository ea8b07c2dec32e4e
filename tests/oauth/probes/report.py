"""The table of the room's page, made of kept results."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = HERE.parents[2] / "app" / "oauth" / "README.md"
MARK = "## Compared\n"
INTRODUCTION = """\
{number} requirements, asked over HTTP ([tests/oauth/probes](../../tests/oauth/probes)) in the same way of
this server ({one[version]}) and of FastMCP {other[version]} (mcp {mcp}) with its `InMemoryOAuthProvider`,
registration and revocation enabled, on {date}. That provider is made for tests: the table says what one
would have to add to it, not that it is bad at what it is for. It has no introspection endpoint (all of L),
no JWTs (half of M), and no person to ask. Some rows are a decision of ours where the RFCs leave a choice;
what each asks, and its level, is in [requirements.tsv](../../tests/oauth/requirements.tsv).
"""
END = """
Not asked, because it takes more than HTTP: client ID metadata documents (E), the consent page (G), and what
needs a clock, a second process or a store that fails. The tests in [tests/oauth](../../tests/oauth) hold
those. `python -m tests.oauth.probes` measures again and writes this table; what each failing row did is in
[results.json](../../tests/oauth/probes/results.json).
"""

GROUPS = {
    "A": "authorization server metadata",
    "B": "protected resource metadata",
    "C": "CORS and HTTP",
    "D": "registration",
    "F": "authorization endpoint",
    "H": "authorization codes",
    "I": "client authentication",
    "J": "refreshing",
    "K": "revocation",
    "L": "introspection",
    "M": "tokens and keys",
    "N": "the resource, `/mcp`",
    "O": "stepping up",
}


def read() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(RESULTS.read_text())
    return found


def write(found: dict[str, Any]) -> None:
    """The results, and the page with their table; what stands above the table is kept."""
    RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    above, mark, _ = PAGE.read_text().partition(MARK)
    if not mark:
        raise ValueError(f"{PAGE.name} has no {MARK!r}")
    PAGE.write_text(above + compared(found))


def compared(found: dict[str, Any]) -> str:
    """The page from MARK to its end."""
    probes, (one, other) = found["probes"], found["servers"]
    lines = [
        *(MARK, *INTRODUCTION.format(number=len(probes), one=one, other=other, **found).splitlines(), ""),
        "| group | probes | here | FastMCP | what fails there |",
        "|---|---|---|---|---|",
    ]
    for group, title in GROUPS.items():
        rows = [name for name in probes if name[0] == group]
        failing = [name for name in rows if name in other["failed"]]
        counts = (passed(rows, one), passed(rows, other))
        lines.append(f"| {group}: {title} | {len(rows)} | {counts[0]} | {counts[1]} | {', '.join(failing)} |")
    total = f"**{passed(probes, one)}** | **{passed(probes, other)}**"
    lines += [f"| **all** | **{len(probes)}** | {total} | {len(other['failed'])} |"]
    return "\n".join(lines) + "\n" + END


def passed(rows: Iterable[str], server: dict[str, Any]) -> int:
    return sum(name not in server["failed"] for name in rows)

"""`make bench`: the whole table, as the README shows it. About ten minutes on two quiet cores."""

from __future__ import annotations

import asyncio
import platform
import sys

import fastmcp

from bench import audit, doors, identity, notes, oauth, policy, start, upstreams
from bench.doors import Line


def main() -> None:
    print(
        f"{platform.machine()}, Python {platform.python_version()}, FastMCP {fastmcp.__version__}; one run,"
    )
    print("medians of rounds that take turns; one server process, 8 connections, load from the other core;")
    print("our doors without a rate limit (RATE_LIMIT=0), because the load is one person.\n")
    _say("the doors")
    print(door_table(asyncio.run(doors.measure())))
    _say("who is there")
    print(identity_table(asyncio.run(identity.measure())))
    _say("the policy")
    print(policy_table(policy.measure()))
    _say("starting")
    print(start_table(start.measure()))
    _say("the audit log")
    print(audit_table(*asyncio.run(audit.measure())))
    _say("the OAuth server")
    print(oauth_table(asyncio.run(oauth.measure())))
    _say("upstreams")
    print(upstreams_table(asyncio.run(upstreams.measure())))
    _say("notes")
    print(notes_table(notes.run()))
    rate, size = notes.long_notes()
    print(
        f"\nImport of long notes ({size / 1000:.0f} kB each, as documentation pages are): {rate:,} notes/s."
    )


def door_table(lines: list[Line]) -> str:
    rows = []
    for line in lines:
        base = next(other for other in lines if (other.era, other.tools) == (line.era, line.tools))
        rows.append(
            f"| {line.name} | {line.era} | {line.tools} | {line.rps:,.0f} | {line.rps / base.rps:.2f} × "
            f"| {line.p50_ms:.1f} | {line.p99_ms:.1f} | {line.p99_ms / base.p99_ms:.2f} × "
            f"| {line.cpu_us:,.0f} | {line.cpu_us / base.cpu_us:.2f} × | {line.rss_mb:.0f} |"
        )
    head = (
        "| tools/call at | protocol | tools | req/s | to stock | p50 ms | p99 ms | to stock "
        "| CPU µs/req | to stock | RSS MB |"
    )
    return _table(head, rows)


def identity_table(micros: dict[str, float]) -> str:
    rows = [
        f"| {name} | {value:.1f} | {value / micros['bare RSA']:.2f} × |" for name, value in micros.items()
    ]
    return "\n" + _table("| identity check | µs | to bare RSA |", rows)


def policy_table(measured: dict[str, float]) -> str:
    rows = [f"| {name} | {value:,.2f} |" for name, value in measured.items()]
    return "\n" + _table("| policy of 1,000 rules, 500 tools | |", rows)


def start_table(taken: dict[str, tuple[float, float]]) -> str:
    bare = taken["bare FastMCP"]
    rows = [
        f"| {name} | {seconds:.2f} | {seconds - bare[0]:+.2f} | {mb:.0f} | {mb / bare[1]:.2f} × |"
        for name, (seconds, mb) in taken.items()
    ]
    return "\n" + _table("| start | ready after s | to bare | idle RSS MB | to bare |", rows)


def audit_table(lines: list[Line], commit_ms: float) -> str:
    rows = []
    for without, line in zip(lines[::2], lines[1::2], strict=True):
        rows.append(
            f"| {without.name.partition(',')[0]} | {without.rps:,.0f} | {line.rps:,.0f} "
            f"| {line.rps / without.rps:.2f} × | {without.cpu_us:,.0f} | {line.cpu_us:,.0f} |"
        )
    head = "| tunnel door | req/s without audit | audited | ratio | CPU µs/req without | audited |"
    return f"\n{_table(head, rows)}\n\nOne bare SQLite commit, `synchronous=FULL`: {commit_ms:.2f} ms."


def oauth_table(found: oauth.Measured) -> str:
    rows = [f"| {one.name} | {one.per_s:,.0f} | {one.p50_ms:.1f} | {one.p99_ms:.1f} |" for one in found.steps]
    table = _table("| OAuth server, 4 at a time | per s | p50 ms | p99 ms |", rows)
    by_access, by_bearer = found.calls
    return (
        f"\n{table}\n\nA call with a bearer: {by_bearer.cpu_us:,.0f} CPU µs, {by_bearer.rps:,.0f} req/s; "
        f"with an assertion, in turns: {by_access.cpu_us:,.0f} and {by_access.rps:,.0f}. "
        f"CPU {found.cpu_ratio:.2f} ×, req/s {by_bearer.rps / by_access.rps:.2f} ×."
    )


def upstreams_table(found: upstreams.Measured) -> str:
    ways = [
        f"| {w.kind} | {w.direct_ms:.2f} | {w.through_ms:.2f} | {w.ratio:.2f} × | "
        f"{f'{w.peer_ms / w.direct_ms:.2f} ×' if w.peer_ms else '–'} |"
        for w in found.ways
    ]
    table = _table(
        "| a call of an upstream | without us, ms | through us, ms | ratio | FastMCP's proxy |", ways
    )
    alone, many = found.many
    well = found.misbehaving["well"]
    rows = [f"| {mode} | {p99:.1f} | {p99 / well:.2f} × |" for mode, p99 in found.misbehaving.items()]
    return (
        f"\n{table}\n\n{many.name}: a call of our own takes {many.p50_ms:.2f} ms, alone {alone.p50_ms:.2f}: "
        f"{many.p50_ms / alone.p50_ms:.2f} ×.\n\n"
        f"{_table('| an upstream that is called meanwhile | p99 of our own, ms | ratio |', rows)}"
    )


def notes_table(rows: list[dict[str, object]]) -> str:
    names = {
        "notes": "notes",
        "import_per_s": "import notes/s",
        "text_mb": "text MB",
        "file_mb": "file MB",
        "bare_p50": "bare FTS5 p50 ms",
        "bare_p99": "p99",
        "search_p50": "search p50 ms",
        "search_p99": "p99",
        "ratio_p50": "p50 to bare",
    }
    cells = [" | ".join(f"{row[name]:,}" for name in names) for row in rows]
    return "\n" + _table(f"| {' | '.join(names.values())} |", [f"| {cell} |" for cell in cells])


def _table(head: str, rows: list[str]) -> str:
    return "\n".join([head, "|" + "---|" * (head.count("|") - 1), *rows])


def _say(what: str) -> None:
    print(f"measuring {what} …", file=sys.stderr)


if __name__ == "__main__":
    main()

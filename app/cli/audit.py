"""`brain audit`: who did what."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from app.audit.chain import Fault, Record, lines, milliseconds
from app.cli.database import clock, with_store
from app.cli.duration import seconds
from app.cli.policy_files import Usage
from app.settings import Settings
from app.store.audit import Search, SqlAudit, known_key
from app.store.audit_check import verify_file, whole_restores
from app.store.engine import sqlite_path
from app.store.open import Store

FOLLOW_EVERY = 0.5


def register(nouns: Any) -> None:
    verbs = nouns.add_parser("audit", help="who did what").add_subparsers(required=True, metavar="VERB")
    for name, run, text in (
        ("tail", run_tail, "the newest records"),
        ("search", run_search, "records by who, tool, decision, time, cf-ray"),
        ("verify", run_verify, "whether a record was changed, removed, moved or cut off"),
        ("export", run_export, "JSON Lines, oldest first"),
    ):
        verb = verbs.add_parser(name, help=text, description=text)
        verb.add_argument("--json", action="store_true", help="JSON Lines")
        verb.set_defaults(run=run)
        if name == "tail":
            verb.add_argument("-n", type=int, default=20, metavar="N", help="how many (default 20)")
            verb.add_argument("-f", "--follow", action="store_true", help="go on with new ones")
        if name in ("search", "export"):
            _add_filters(verb)
        if name == "export":
            verb.add_argument("file", nargs="?", type=Path, help="default: standard output")
            verb.set_defaults(on_record="audit/export")


def _add_filters(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--who", help="e-mail, service token's id, lan")
    verb.add_argument("--tool", metavar="NAME", help="tool, resource or prompt")
    verb.add_argument("--decision", choices=("allow", "deny", "refuse"))
    verb.add_argument("--cf-ray", metavar="RAY")
    verb.add_argument("--request-id", metavar="ID")
    verb.add_argument("--since", metavar="24h", help="not older than: 30m, 24h, 7d")
    verb.add_argument("--until", metavar="1h", help="older than: 30m, 24h, 7d")


def run_tail(args: argparse.Namespace, settings: Settings) -> int:
    if args.n < 0:
        raise Usage("-n must be 0 or more")

    async def tail(_: Store, audit: SqlAudit) -> None:
        newest = await audit.newest(Search(), args.n)
        _print(args, newest)
        last = newest[-1].seq if newest else 0
        while args.follow:
            await asyncio.sleep(FOLLOW_EVERY)
            more = [record async for record in audit.records(after=last)]
            _print(args, more)
            last = more[-1].seq if more else last

    with_store(settings, tail)
    return 0


def run_search(args: argparse.Namespace, settings: Settings) -> int:
    found = _write(args, settings, lambda record: print(_shown(args, record)))
    if not found and not args.json:
        print("No record fits.")
    return 0


def run_export(args: argparse.Namespace, settings: Settings) -> int:
    if args.file is None:
        _write(args, settings, lambda record: print(next(lines([record]))))
        return 0
    with _new_file(args.file) as out:
        count = _write(args, settings, lambda record: print(next(lines([record])), file=out))
    print(
        json.dumps({"file": str(args.file), "records": count}) if args.json else f"{count} records exported."
    )
    return 0


def run_verify(args: argparse.Namespace, settings: Settings) -> int:
    database = sqlite_path(settings.database_url)
    result = verify_file(database, known_key(settings.data_dir / "audit.key"))
    if isinstance(result, Fault):
        told = {"ok": False, "seq": result.seq, "what": result.what}
        print(json.dumps(told) if args.json else f"NOT OK  record {result.seq}: {result.what}")
        return 1
    replaced = whole_restores(database)
    if args.json:
        print(json.dumps({"ok": True, "records": result, "restored_at": replaced}))
        return 0
    print(f"ok  {result} records, one chain")
    for seq in replaced:
        print(
            f"    record {seq}: a backup came in the place of the whole database; what was recorded between"
        )
        print("    the backup and that record is not in this log, if there was anything")
    return 0


def _write(args: argparse.Namespace, settings: Settings, out: Callable[[Record], None]) -> int:
    search = _search(args)

    async def walk(_: Store, audit: SqlAudit) -> int:
        count = 0
        async for record in audit.records(search):
            out(record)
            count += 1
        return count

    return with_store(settings, walk)


def _search(args: argparse.Namespace) -> Search:
    return Search(
        who=args.who.lower() if args.who and "@" in args.who else args.who,
        tool=args.tool,
        decision=args.decision,
        cf_ray=args.cf_ray,
        request_id=args.request_id,
        since=_ago(args.since, "--since") if args.since else None,
        until=_ago(args.until, "--until") if args.until else None,
    )


def _ago(text: str, option: str) -> int:
    """When that was, in milliseconds. Raises Usage."""
    return milliseconds(clock() - seconds(text, option))


def _new_file(path: Path) -> TextIO:
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w")
    except FileExistsError:
        raise Usage(f"{path} exists; name a new file") from None
    except OSError as problem:
        raise Usage(f"{path} cannot be written: {problem.strerror}") from None


def _print(args: argparse.Namespace, records: list[Record]) -> None:
    for record in records:
        print(_shown(args, record))
    sys.stdout.flush()


def _shown(args: argparse.Namespace, record: Record) -> str:
    if args.json:
        return next(lines([record]))
    event = record.event
    who = event.principal or "nobody"
    why = f"  ({event.reason})" if event.reason else ""
    ray = f"  ray {event.cf_ray}" if event.cf_ray else ""
    shown = f"{event.decision:6}  {event.door or '-':6}  {who}  {event.operation} {event.name}"
    return _one_line(f"{record.as_json()['ts']}  #{record.seq}  {shown}  {event.status}{why}{ray}")


def _one_line(text: str) -> str:
    """Names come from callers: nothing of them may act on a terminal."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)

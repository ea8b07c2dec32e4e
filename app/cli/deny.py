"""`brain deny` and `brain undeny`: the kill switch. Counts within a second, survives a restart."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from dataclasses import asdict
from typing import Any

from app.audit.chain import milliseconds, timestamp
from app.cli.database import clock, operator, with_store
from app.cli.policy_files import known_tools
from app.policy.denies import target
from app.settings import Settings
from app.store.audit import SqlAudit
from app.store.denies import Entry, SqlDenies
from app.store.open import Store


def register(nouns: Any) -> None:
    what = "an e-mail, a service token's id, tool:NAME, or door:tunnel"
    shut = nouns.add_parser("deny", help="shut somebody or something off at once; without WHO: list")
    shut.add_argument("who", nargs="?", metavar="WHO", help=what)
    shut.add_argument("--json", action="store_true", help="as JSON")
    shut.set_defaults(run=run_deny, on_record="deny")
    back = nouns.add_parser("undeny", help="take a deny back")
    back.add_argument("who", metavar="WHO", help=what)
    back.add_argument("--json", action="store_true", help="as JSON")
    back.set_defaults(run=run_undeny, on_record="undeny")


def run_deny(args: argparse.Namespace, settings: Settings) -> int:
    if args.who is None:
        args.on_record = None
        return _list(args, settings)
    who = args.who = target(args.who)

    async def add(store: Store, _: SqlAudit) -> None:
        await SqlDenies(store.database).add(who, at=clock(), by=operator())

    with_store(settings, add)
    _warn_of_unknown(who, settings)
    _say(args, {"denied": who}, f"{who} is shut off. Take it back with: brain undeny {who}")
    return 0


def _warn_of_unknown(who: str, settings: Settings) -> None:
    """A name that nothing has is shut off all the same: it may be there tomorrow."""
    if not who.startswith("tool:"):
        return
    name, known = who.removeprefix("tool:"), [tool.name for tool in known_tools(settings)]
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"; did you mean tool:{close[0]}?" if close else ""
        print(f"brain: no tool is named {name} at the moment{hint}", file=sys.stderr)


def run_undeny(args: argparse.Namespace, settings: Settings) -> int:
    who = args.who = target(args.who)

    async def delete(store: Store, _: SqlAudit) -> bool:
        return await SqlDenies(store.database).delete(who)

    was = with_store(settings, delete)
    if not was:
        args.on_record = None  # nothing was changed
    said = f"{who} is no longer shut off." if was else f"{who} was not shut off."
    _say(args, {"undenied": who, "was_denied": was}, said)
    return 0 if was else 1


def _list(args: argparse.Namespace, settings: Settings) -> int:
    async def entries(store: Store, _: SqlAudit) -> tuple[Entry, ...]:
        return await SqlDenies(store.database).list()

    found = with_store(settings, entries)
    if args.json:
        print(json.dumps([asdict(entry) for entry in found], indent=2))
        return 0
    for entry in found:
        print(f"{timestamp(milliseconds(entry.at))}  {entry.target}  by {entry.by}")
    if not found:
        print("Nothing and nobody is shut off.")
    return 0


def _say(args: argparse.Namespace, value: dict[str, Any], sentence: str) -> None:
    print(json.dumps(value) if args.json else sentence)

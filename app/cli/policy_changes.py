"""`brain policy test`, `diff` and `shadow`: what a policy means for people, before it is in force."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.audit.chain import milliseconds
from app.audit.recorder import digest
from app.cli.database import clock, with_store
from app.cli.duration import seconds
from app.cli.policy_at_access import say_if_behind
from app.cli.policy_files import Usage, known_tools, note_templates, read_named
from app.policy import cases, diff, shadow
from app.policy.decide import Operation
from app.settings import Settings
from app.store.audit import Search, SqlAudit
from app.store.engine import sqlite_path
from app.store.open import Store


def register(verbs: Any) -> None:
    testing = verbs.add_parser(
        "test",
        help="run the [[case]] tables",
        description="Runs the [[case]] tables of a policy. Exit code: 0 all hold, 1 one does not, "
        "2 the file is not usable.",
    )
    testing.add_argument("file", nargs="?", type=Path, help="default: POLICY_FILE")
    testing.set_defaults(run=run_test)
    comparing = verbs.add_parser(
        "diff",
        help="who gains or loses which tool",
        description="Everybody whom one of two policies names, and what they gain (+), lose (-) or may do "
        "within other limits (~). Exit code: 0 no difference, 1 there is one, 2 a file is not usable.",
    )
    comparing.add_argument("old", type=Path, metavar="OLD")
    comparing.add_argument("new", type=Path, metavar="NEW")
    comparing.set_defaults(run=run_diff)
    replaying = verbs.add_parser(
        "shadow",
        help="which calls of the audit log would have ended otherwise",
        description="Decides the calls of the audit log again by another policy and tells which would end "
        "otherwise. Exit code: 0 none, 1 at least one would or might, 2 wrong usage or a file that is "
        "not usable.",
    )
    replaying.add_argument("file", type=Path, metavar="FILE", help="the policy to try")
    replaying.add_argument("--since", metavar="24h", help="only this long back, like 30m, 24h or 7d")
    replaying.set_defaults(run=run_shadow)
    for parser in (testing, comparing, replaying):
        parser.add_argument("--json", action="store_true", help="as JSON")


def run_test(args: argparse.Namespace, settings: Settings) -> int:
    path: Path = args.file or settings.policy_file
    policy = read_named(path)
    results = cases.run_cases(policy, known_tools(settings))
    failed = sum(not result.ok for result in results)
    if args.json:
        told = [cases.as_json(result) for result in results]
        print(json.dumps({"file": str(path), "ok": not failed, "cases": told}, indent=2))
    elif not results:
        print(f"{path}: no [[case]] in it, so nothing is tested")
    else:
        for result in results:
            print(cases.in_words(result))
        print(f"{path}: {len(results) - failed} of {len(results)} cases hold")
    say_if_behind(path, policy, settings)
    return 1 if failed else 0


def run_diff(args: argparse.Namespace, settings: Settings) -> int:
    new = read_named(args.new)
    changes = diff.diff(read_named(args.old), new, _operations(settings))
    if args.json:
        print(json.dumps([asdict(change) for change in changes], indent=2, ensure_ascii=False))
    else:
        print(diff.in_words(changes), end="")
    say_if_behind(args.new, new, settings)
    return 1 if changes else 0


def run_shadow(args: argparse.Namespace, settings: Settings) -> int:
    since = None if args.since is None else milliseconds(clock() - seconds(args.since, "--since"))
    policy = read_named(args.file)
    done = shadow.replay(
        policy, records(settings, since), known_tools(settings), note_templates(), digest=digest
    )
    if args.json:
        print(json.dumps(asdict(done), indent=2, ensure_ascii=False))
    else:
        print(shadow.in_words(done), end="")
    say_if_behind(args.file, policy, settings)
    return 1 if done.shifts else 0


def records(settings: Settings, since: int | None) -> Iterable[Mapping[str, Any]]:
    """The audit records since a time (milliseconds), oldest first. Raises Usage without a database."""
    path = sqlite_path(settings.database_url)
    if not path.exists():
        raise Usage(f"there is no audit log yet: {path} does not exist")

    async def read(_: Store, audit: SqlAudit) -> list[Mapping[str, Any]]:
        return [one.as_json() async for one in audit.records(Search(since=since))]

    return with_store(settings, read)


def _operations(settings: Settings) -> tuple[Operation, ...]:
    """All that is listed here."""
    tools = [tool.operation() for tool in known_tools(settings)]
    return (*tools, *(Operation("resource", template) for template in note_templates()))

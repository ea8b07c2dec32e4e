"""`brain policy`: check a policy file, and explain one decision of it. The other verbs: policy_changes.py."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from app.cli import policy_changes
from app.cli.database import with_store
from app.cli.policy_at_access import say_if_behind
from app.cli.policy_files import Usage as Usage  # other commands know it from here
from app.cli.policy_files import known_resources, known_tools, not_seen, read
from app.policy.check import Finding, Tool, check
from app.policy.decide import decide
from app.policy.denies import NONE, Denies, denies
from app.policy.explain import as_json, explain
from app.policy.parse import PolicyInvalid
from app.policy.rules import NO_POLICY, Policy, principal_named
from app.settings import Settings
from app.store.audit import SqlAudit
from app.store.denies import SqlDenies
from app.store.engine import sqlite_path
from app.store.open import Store


def register(nouns: Any) -> None:
    verbs = nouns.add_parser("policy", help="who may do what, and why").add_subparsers(
        required=True, metavar="VERB"
    )
    checking = verbs.add_parser("check", help="syntax, unknown tools and scopes, unreachable rules")
    checking.add_argument("file", nargs="?", type=Path, help="default: POLICY_FILE")
    checking.add_argument("--json", action="store_true", help="as JSON")
    checking.set_defaults(run=run_check)
    explaining = verbs.add_parser("explain", help="the decision itself, rule by rule")
    explaining.add_argument(
        "--as", dest="who", required=True, metavar="WHO", help="e-mail, service token, lan"
    )
    explaining.add_argument("--tool", required=True, metavar="NAME")
    explaining.add_argument(
        "--args", metavar="JSON", help="arguments of the call; without, a call that gives only what it has to"
    )
    explaining.add_argument("--groups", default="", metavar="A,B", help="groups the person is in")
    explaining.add_argument(
        "--file", type=Path, help="another policy, without the kill switch (default: all that is in force)"
    )
    explaining.add_argument("--json", action="store_true", help="as JSON")
    explaining.set_defaults(run=run_explain)
    policy_changes.register(verbs)


def run_check(args: argparse.Namespace, settings: Settings) -> int:
    path: Path = args.file or settings.policy_file
    try:
        policy = read(path)
        findings = check(policy, known_tools(settings), not_seen(settings), known_resources(settings))
        found = [_told(finding) for finding in findings]
        say_if_behind(path, policy, settings)
    except PolicyInvalid as invalid:
        found = [{"level": "error", "place": "", "what": problem} for problem in invalid.problems]
    errors = [finding for finding in found if finding["level"] == "error"]
    if args.json:
        print(json.dumps({"file": str(path), "ok": not errors, "findings": found}, indent=2))
    else:
        for finding in found:
            print(f"{finding['level']:8}{': '.join(filter(None, (finding['place'], finding['what'])))}")
        print(f"{path}: {'not fine' if errors else 'fine'}")
    return 1 if errors else 0


def _told(finding: Finding) -> dict[str, Any]:
    return {"level": finding.level, "place": finding.place, "what": finding.what}


def run_explain(args: argparse.Namespace, settings: Settings) -> int:
    policy = read(args.file) if args.file else _in_force(settings)
    shut_off = NONE if args.file else _shut_off(settings)
    tool = _tool(args.tool, settings)
    call = tool.call(args.args and _arguments(args.args))
    groups = frozenset(group for group in args.groups.split(",") if group)
    principal = principal_named(args.who, groups)
    if principal.kind == "service" and not principal.id.endswith(".access"):
        print(f"brain: {args.who} is no e-mail, so it is taken for a service token's id", file=sys.stderr)
    decision = decide(policy, principal, call, shut_off)
    if args.json:
        print(json.dumps(as_json(principal, decision), indent=2))
    else:
        print(explain(policy, principal, decision), end="")
    return 0


def _tool(name: str, settings: Settings) -> Tool:
    tools = {tool.name: tool for tool in known_tools(settings)}
    if name not in tools:
        raise Usage(f"no tool is named {name}; there are: {', '.join(sorted(tools))}")
    return tools[name]


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except ValueError as problem:
        raise Usage(f"--args is not JSON: {problem}") from None
    if not isinstance(arguments, dict):
        raise Usage("--args must be a JSON object, like '{\"limit\": 5}'")
    return arguments


def _in_force(settings: Settings) -> Policy:
    if settings.policy_file.exists():
        return read(settings.policy_file)
    print(f"brain: no {settings.policy_file}: the LAN may do everything, the tunnel nobody", file=sys.stderr)
    return NO_POLICY


def _shut_off(settings: Settings) -> Denies:
    """The kill switch as it is now."""
    if not sqlite_path(settings.database_url).exists():
        return NONE

    async def read_entries(store: Store, _: SqlAudit) -> Denies:
        return denies(entry.target for entry in await SqlDenies(store.database).list())

    return with_store(settings, read_entries)

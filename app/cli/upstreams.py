"""`brain upstreams`: who is behind the doors beside the Brain, one more of them, and their changes."""

from __future__ import annotations

import argparse
import asyncio
import json
from typing import Any

from app.catalogue import catalogue
from app.cli import upstreams_add, upstreams_diff
from app.cli.policy_files import read
from app.cli.upstreams_ask import ask, it_said, left_out, so_many_tools
from app.cli.upstreams_diff import differences, in_words, pinned
from app.policy.check import unusable
from app.policy.rules import NO_POLICY
from app.settings import Settings
from app.upstreams.entries import Upstreams
from app.upstreams.file import kept_of, read_upstreams, tools_of
from app.upstreams.kept import KeptFile, all_accepted

BRAIN = "the Brain's own"


def register(nouns: Any) -> None:
    about = "other MCP servers behind the same doors; without a verb: each with state, latency and tools"
    noun = nouns.add_parser("upstreams", help="other MCP servers behind the same doors", description=about)
    noun.add_argument("--json", action="store_true", help="as JSON")
    noun.set_defaults(run=run_list)
    verbs = noun.add_subparsers(metavar="VERB")
    upstreams_add.register(verbs)
    upstreams_diff.register(verbs)
    what = "let in what appeared or changed at a pinned upstream; counts within a second"
    accepting = verbs.add_parser("accept", help=what, description=what)
    accepting.add_argument("who", metavar="NAME")
    accepting.add_argument("--json", action="store_true", help="as JSON")
    accepting.set_defaults(run=run_accept, on_record="upstreams/accept")


def run_list(args: argparse.Namespace, settings: Settings) -> int:
    """Asks each of them now. 1 when one does not answer."""
    found = read_upstreams(settings.upstreams_file)
    policy = read(settings.policy_file) if settings.policy_file.exists() else NO_POLICY
    whose = _of_the_brain(found)
    told = []
    for entry, answer in zip(found.entries, ask(settings, *found.entries), strict=True):
        kept = kept_of(settings.data_dir, entry.name)
        listed = answer.listing or (kept.seen if kept else None)
        known = {tool.name: tool for tool in tools_of(entry, listed)} if listed else {}
        taken = {name: whose[name] for name in known if name in whose}
        tools = tuple(tool for tool in known.values() if tool.name not in taken)
        whose |= dict.fromkeys(known.keys() - taken.keys(), entry.name)
        told.append(
            {
                "name": entry.name,
                "kind": entry.kind,
                "state": "up" if answer.listing else "down",
                "why": answer.why,
                "said": answer.said,
                "left_out": answer.left_out,
                "latency_ms": answer.ms,
                "tools": [tool.name for tool in tools],
                "taken": taken,
                "nobody_can_use": list(unusable(policy, tools)),
                "withheld": [one.name for one in differences(entry, kept)] if kept else [],
            }
        )
    if args.json:
        print(json.dumps({"brain": found.brain, "upstreams": told}, indent=2))
    elif not told:
        print(f"No upstreams in {settings.upstreams_file}. Add one: brain upstreams add NAME …")
    else:
        for one in told:
            _say(one)
    return 1 if any(one["state"] == "down" for one in told) else 0


def _of_the_brain(found: Upstreams) -> dict[str, str]:
    """Names of tools that no upstream gets, as the server has it: the first of a name counts."""
    if all(entry.namespace for entry in found.entries):
        return {}
    return {tool.name: BRAIN for tool in asyncio.run(catalogue(notes=found.brain))}


def run_accept(args: argparse.Namespace, settings: Settings) -> int:
    entry, kept = pinned(settings, args.who)
    found = differences(entry, kept)
    names = [one.name for one in found]
    if args.json:
        changes = [one.as_json() for one in found]
        print(json.dumps({"accepted": names, "changes": changes}))
    else:
        print(in_words(found) if found else f"Nothing of {entry.name} is withheld.")
    if found:  # and shown
        KeptFile(settings.data_dir, entry.name, lambda: 0.0).write(all_accepted(kept.seen))
        if not args.json:
            print(f"Accepted of {entry.name}: {', '.join(names)}")
    return 0


def _say(one: dict[str, Any]) -> None:
    state = f"up, {one['latency_ms']:.0f} ms" if one["state"] == "up" else f"DOWN: {one['why']}"
    print(f"{one['name']} ({one['kind']}): {state}; {so_many_tools(len(one['tools']))}")
    if one["said"]:
        print(f"  {it_said(one['said'], '  ')}")
    if one["left_out"]:
        print(f"  {left_out(one['left_out'])}")
    if one["taken"]:
        named = ", ".join(f"{name} ({whose})" for name, whose in one["taken"].items())
        print(f"  left out, because there is one of that name: {named}")
    if one["nobody_can_use"]:
        print(f"  nobody can use yet: {', '.join(one['nobody_can_use'])}")
    if one["withheld"]:
        name, held = one["name"], ", ".join(one["withheld"])
        print(f"  withheld until `brain upstreams accept {name}` (what changed: `diff {name}`): {held}")

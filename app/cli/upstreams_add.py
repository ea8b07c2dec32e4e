"""`brain upstreams add`: asks a server for its tools, writes its entry, and says what the policy needs."""

from __future__ import annotations

import argparse
import json
import os
import re
import time
from typing import Any

from app.cli.policy_files import Usage
from app.cli.upstreams_ask import Answer, ask, it_said, left_out, so_many_tools
from app.settings import Settings
from app.upstreams.entries import Entry, name_problem, parse
from app.upstreams.file import addresses_of, append, read_upstreams, tools_of
from app.upstreams.kept import KeptFile, all_accepted
from app.upstreams.listing import Listing
from app.upstreams.names import Names

_PYTHON = re.compile(r".+\.py:[A-Za-z_]\w*")
TO = "http://… or https://…; FILE.py:NAME for a FastMCP object; or a program and its arguments, after --"
AFTER = "; a program and its arguments stand after --: brain upstreams add NAME -- PROGRAM ARGUMENT …"


def register(verbs: Any) -> None:
    what = "ask a server for its tools, write its entry, and say what the policy needs"
    adding = verbs.add_parser("add", help=what, description=what)
    adding.add_argument("who", metavar="NAME", help="what it is called here; its tools become NAME_tool")
    adding.add_argument("to", nargs="+", metavar="TO", help=TO)
    adding.add_argument("--bearer-env", metavar="VARIABLE", help="of a URL: the variable with its token")
    adding.add_argument("--bearer-file", metavar="FILE", help="of a URL: the file with its token")
    adding.add_argument(
        "--env", action="append", default=[], metavar="VARIABLE", help="of a program: pass this one on to it"
    )
    adding.add_argument("--cwd", metavar="FOLDER", help="of a program: where it runs")
    adding.add_argument("--pin", action="store_true", help="withhold later changes until they are accepted")
    adding.add_argument("--json", action="store_true", help="as JSON")
    adding.set_defaults(run=run_add, on_record="upstreams/add", on_unknown=AFTER)


def run_add(args: argparse.Namespace, settings: Settings) -> int:
    """Writes nothing when the server does not answer."""
    if (problem := name_problem(args.who)) is not None:
        raise Usage(f"{args.who}: {problem}")
    if args.who in {entry.name for entry in read_upstreams(settings.upstreams_file).entries}:
        raise Usage(f"{args.who} is in {settings.upstreams_file} already; take another name")
    section = _section(args)
    entry = parse(f"version = 1\n{section}").entries[0]
    (answer,) = ask(settings, entry)
    if answer.listing is None:
        if args.json:
            print(json.dumps({"why": answer.why, "said": answer.said}, indent=2))
        raise Usage(_no_answer(args.who, answer))
    append(settings.upstreams_file, section)
    KeptFile(settings.data_dir, entry.name, time.monotonic).write(all_accepted(answer.listing))
    lines = suggestion(entry, answer.listing)
    if args.json:
        names = [tool.name for tool in tools_of(entry, answer.listing)]
        told = {"file": str(settings.upstreams_file), "tools": names, "left_out": answer.left_out}
        print(json.dumps({**told, "policy": lines}, indent=2))
        return 0
    number = so_many_tools(len(answer.listing.tools))
    print(f"{settings.upstreams_file}: [upstream.{entry.name}] added, {number}.")
    if answer.left_out:
        print(f"Some are {left_out(answer.left_out)}.")
    print(f"Nobody sees them until {settings.policy_file} names them, for example:\n")
    if not settings.policy_file.exists():
        print("version = 1\n")
    print(lines)
    print("Take out what nobody should do, and give the scopes to people. A server that runs takes it over.")
    return 0


def _no_answer(name: str, answer: Answer) -> str:
    said = f"{it_said(answer.said)}\n" if answer.said else ""
    return f"{name} does not answer: {answer.why}. {said}Nothing was written."


def suggestion(entry: Entry, found: Listing) -> str:
    """Two scopes: what says that it only reads, and the rest. Its word is a hint here, no more."""
    names = Names(entry)
    reads: list[str] = []
    rest: list[str] = []
    for name, one in found.tools.items():
        says_so = bool(one.get("annotations", {}).get("readOnlyHint"))
        (reads if says_so else rest).append(names.name(name))
    parts = []
    for what, words, tools in (("read", "Read with", reads), ("write", "Change things with", rest)):
        if tools:
            fields = [f'[scopes."{entry.name}:{what}"]', f'description = "{words} {entry.name}"']
            fields.append(f"tools = {json.dumps(tools)}")
            parts.append("\n".join(fields))
    addresses = addresses_of(entry, found)
    prompts = {one: names.name(one) for one in found.prompts}
    for kind, here in (("resources", addresses), ("prompts", prompts)):
        if named := [one for one in dict.fromkeys(here.values()) if one is not None]:
            parts.append(f'[scopes."{entry.name}:{kind}"]\n{kind} = [{", ".join(map(_toml, named))}]')
    if left_out := [one for one, here in addresses.items() if here is None]:
        parts.append(f"# Left out, no URIs that can be told from those of others: {', '.join(left_out)}")
    return "\n\n".join(parts) + "\n"


def _section(args: argparse.Namespace) -> str:
    words: list[str] = args.to
    lines = [f"[upstream.{args.who}]"]
    if len(words) == 1 and words[0].startswith(("http://", "https://")):
        lines.append(f"url = {_toml(words[0])}")
        lines += [f"bearer_env = {_toml(args.bearer_env)}"] if args.bearer_env else []
        lines += [f"bearer_file = {_toml(_whole(args.bearer_file))}"] if args.bearer_file else []
    elif len(words) == 1 and _PYTHON.fullmatch(words[0]):
        lines.append(f"python = {_toml(_whole(words[0]))}")
    else:
        lines.append(f"command = [{', '.join(map(_toml, [_program(words[0]), *words[1:]]))}]")
        lines += [f"cwd = {_toml(_whole(args.cwd))}"] if args.cwd else []
        passed = ", ".join(f"{name} = {{ env = {_toml(name)} }}" for name in args.env)
        lines += [f"env = {{ {passed} }}"] if passed else []
    lines += ["pin = true"] if args.pin else []
    return "\n".join(lines) + "\n"


def _program(word: str) -> str:
    """A path from here leads elsewhere from where it runs; a name is looked up in PATH."""
    return _whole(word) if "/" in word and os.path.exists(os.path.expanduser(word)) else word


def _whole(path: str) -> str:
    """Relative to where the command is given; the file's own are relative to the file."""
    return os.path.abspath(os.path.expanduser(path))


def _toml(text: str) -> str:
    """A basic string of TOML; JSON's escapes are TOML's too."""
    return json.dumps(text, ensure_ascii=False)

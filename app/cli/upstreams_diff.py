"""What changed at a pinned upstream since it was accepted: `brain upstreams diff`, and said by `accept`."""

from __future__ import annotations

import argparse
import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from app.cli.policy_files import Usage
from app.settings import Settings
from app.tables import one_line
from app.upstreams.entries import Entry
from app.upstreams.file import kept_of, read_upstreams
from app.upstreams.kept import Kept
from app.upstreams.listing import Definition
from app.upstreams.names import Names
from app.upstreams.pins import withheld

_AROUND = 2  # lines of a schema before and after one that changed


@dataclass(frozen=True, slots=True)
class Difference:
    """Of a tool or prompt that is withheld; `name` as it is here. `was` None: it is new, or what was accepted
    is not known any more."""

    kind: str
    name: str
    new: bool
    was: Definition | None
    now: Definition

    def as_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "name": self.name, "new": self.new, "was": self.was, "now": self.now}


def register(verbs: Any) -> None:
    what = "what appeared or changed at a pinned upstream, before it is accepted; 1 when something did"
    comparing = verbs.add_parser("diff", help=what, description=what)
    comparing.add_argument("who", metavar="NAME")
    comparing.add_argument("--json", action="store_true", help="as JSON")
    comparing.set_defaults(run=run_diff)


def run_diff(args: argparse.Namespace, settings: Settings) -> int:
    entry, kept = pinned(settings, args.who)
    found = differences(entry, kept)
    if args.json:
        print(json.dumps({"changes": [one.as_json() for one in found]}, indent=2))
    elif found:
        print(in_words(found))
        print(f"Let it in: brain upstreams accept {entry.name}")
    else:
        print(f"Nothing of {entry.name} is withheld.")
    return 1 if found else 0


def pinned(settings: Settings, name: str) -> tuple[Entry, Kept]:
    """Raises Usage."""
    entries = {entry.name: entry for entry in read_upstreams(settings.upstreams_file).entries}
    if name not in entries:
        raise Usage(f"no upstream is named {name}; there are: {', '.join(entries) or 'none'}")
    kept = kept_of(settings.data_dir, name)
    if kept is None:
        raise Usage(f"{name} was never reached, so there is nothing to accept")
    return entries[name], kept


def differences(entry: Entry, kept: Kept) -> list[Difference]:
    """Of what is withheld; of an upstream without `pin`, nothing is."""
    if not entry.pin:
        return []
    names, now = Names(entry), kept.seen.instructing()
    found = []
    for key in withheld(kept.accepted, kept.seen.digests()):
        kind, _, there = key.partition(" ")
        found.append(
            Difference(kind, names.name(there), key not in kept.accepted, kept.were.get(key), now[key])
        )
    return sorted(found, key=lambda one: (one.name, one.kind))


def in_words(found: Iterable[Difference]) -> str:
    """A stranger wrote them: what a terminal would obey, or not show, is spelled out."""
    return "\n".join(line for one in found for line in _lines(one))


def _lines(one: Difference) -> Iterator[str]:
    unknown = "" if one.new or one.was is not None else "; what was accepted is not known any more"
    yield f"{one.kind} {one.name}: {'new' if one.new else 'changed'}{unknown}"
    was = one.was or {}
    for field in sorted(was.keys() | one.now.keys(), key=[*one.now, *was].index):
        before, after = _text(was.get(field)), _text(one.now.get(field))
        if before != after and not (field == "name" and one.was is None):
            yield f"  {field}"
            yield from _changed(before, after)


def _changed(before: list[str], after: list[str]) -> Iterator[str]:
    _, _, _, *lines = difflib.unified_diff(before, after, n=_AROUND, lineterm="")
    for line in lines:
        yield "    …" if line.startswith("@@") else f"    {line[0]} {line[1:]}"


def _text(value: Any) -> list[str]:
    if value is None:
        return []
    if not isinstance(value, str):
        value = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return [one_line(line) for line in value.split("\n")]

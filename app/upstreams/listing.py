"""What an upstream offers, in the words of the wire; only the fields that are passed on. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.upstreams import templates
from app.upstreams.pins import digest

Definition = Mapping[str, Any]

MOST = 2000  # tools, prompts, resources or templates of one upstream
# SEP-986; whatever else a stranger calls its tools cannot be named in a policy.
_TOOL_NAME = re.compile(r"[A-Za-z0-9_./-]{1,128}")
_FIELDS = {
    "tools": ("name", "title", "description", "inputSchema", "outputSchema", "annotations"),
    "prompts": ("name", "title", "description", "arguments"),
    "resources": ("uri", "name", "title", "description", "mimeType", "annotations"),
    "templates": ("uriTemplate", "name", "title", "description", "mimeType", "annotations"),
}
KEYS = {"tools": "name", "prompts": "name", "resources": "uri", "templates": "uriTemplate"}


@dataclass(frozen=True, slots=True)
class Listing:
    """Definitions by name, URI or URI template, in the order of the upstream."""

    tools: Mapping[str, Definition] = field(default_factory=dict)
    prompts: Mapping[str, Definition] = field(default_factory=dict)
    resources: Mapping[str, Definition] = field(default_factory=dict)
    templates: Mapping[str, Definition] = field(default_factory=dict)

    def instructing(self) -> dict[str, Definition]:
        """What says to a model how to behave. Resources are data; they come and go."""
        return {
            **{f"tool {name}": one for name, one in self.tools.items()},
            **{f"prompt {name}": one for name, one in self.prompts.items()},
        }

    def digests(self) -> dict[str, str]:
        return {name: digest(one) for name, one in self.instructing().items()}

    def without(self, withheld: frozenset[str]) -> Listing:
        if not withheld:
            return self
        return Listing(
            {name: one for name, one in self.tools.items() if f"tool {name}" not in withheld},
            {name: one for name, one in self.prompts.items() if f"prompt {name}" not in withheld},
            self.resources,
            self.templates,
        )

    def as_json(self) -> dict[str, list[Definition]]:
        return {kind: list(getattr(self, kind).values()) for kind in _FIELDS}


NOTHING = Listing()


def listing(found: Mapping[str, Iterable[Definition]]) -> Listing:
    """Of the lists of the wire, by kind. The first of a name counts; what cannot be named is left out."""
    return Listing(**{kind: _by_key(kind, found.get(kind, ())) for kind in _FIELDS})


def nameless(found: Mapping[str, Iterable[Definition]]) -> tuple[str, ...]:
    """Tools and prompts whose names no policy could hold, and templates that nobody looks up."""
    return tuple(
        repr(str(one.get(KEYS[kind], ""))[:80])
        for kind in ("tools", "prompts", "templates")
        for one in found.get(kind, ())
        if not _nameable(kind, one)
    )


def _by_key(kind: str, definitions: Iterable[Definition]) -> dict[str, Definition]:
    known: dict[str, Definition] = {}
    for one in definitions:
        key = one.get(KEYS[kind])
        if isinstance(key, str) and len(known) < MOST and _nameable(kind, one):
            kept = {name: one[name] for name in _FIELDS[kind] if one.get(name) is not None}
            known.setdefault(key, kept)
    return known


def _nameable(kind: str, one: Definition) -> bool:
    key = str(one.get(KEYS[kind], ""))
    if kind == "resources" and len(key) > templates.LONGEST_URI:
        return False
    if kind == "templates" and not templates.usable(key):
        return False
    test: Callable[[str], Any] = _TOOL_NAME.fullmatch if kind in ("tools", "prompts") else str.isprintable
    return bool(key) and bool(test(key))

"""What an upstream says of its tools and prompts, as digests, and how that changes. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any


@dataclass(frozen=True, slots=True)
class Changes:
    """Names, sorted. What only moved in a list has not changed."""

    appeared: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.appeared or self.changed or self.gone)

    def in_words(self) -> str:
        parts = (("appeared", self.appeared), ("changed", self.changed), ("gone", self.gone))
        return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts if names)


def digest(definition: Mapping[str, Any]) -> str:
    """SHA-256 of everything that a client is told: name, description, schemas, annotations."""
    canonical = json.dumps(definition, sort_keys=True, separators=(",", ":"))
    return sha256(canonical.encode()).hexdigest()


def compare(before: Mapping[str, str], now: Mapping[str, str]) -> Changes:
    """Of digests by name."""
    return Changes(
        tuple(sorted(now.keys() - before.keys())),
        tuple(sorted(name for name in now.keys() & before.keys() if now[name] != before[name])),
        tuple(sorted(before.keys() - now.keys())),
    )


def withheld(accepted: Mapping[str, str], now: Mapping[str, str]) -> frozenset[str]:
    """What the operator has not accepted as it is now."""
    return frozenset(name for name, value in now.items() if accepted.get(name) != value)

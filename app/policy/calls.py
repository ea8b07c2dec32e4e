"""A call as it is decided: what is given, and the defaults of the tool for the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.policy.arguments import defaults_of
from app.policy.decide import Operation


def call_of(
    name: str,
    read_only: bool,
    schema: Mapping[str, Any],
    given: Mapping[str, Any] | None,
    *,
    named_only: bool = False,
) -> Operation:
    """The call of a tool with what is given and the defaults of its input schema for the rest.

    `given` None: a call as somebody may make it, with what it cannot do without left open.
    """
    defaults = defaults_of(schema)
    if given is None:
        unknown = frozenset(schema.get("properties", {})) - defaults.keys()
        return Operation("tool", name, read_only, defaults, frozenset(defaults), unknown, named_only)
    defaulted = frozenset(defaults.keys() - given.keys())
    return Operation("tool", name, read_only, {**defaults, **given}, defaulted, named_only=named_only)

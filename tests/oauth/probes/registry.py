"""All probes, by the id of their requirement: the name of the function."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from .talk import Talk

Probe = Callable[[Talk], Awaitable[bool]]
PROBES: dict[str, Probe] = {}


def probe(function: Probe) -> Probe:
    name = function.__name__
    assert name not in PROBES, name
    PROBES[name] = function
    return function

"""Scopes as clients write them, in the terms of the policy."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Literal

from app.policy.decide import expand
from app.policy.rules import ADMIN, READ, Policy

Challenge = Literal["minimal", "full"]

# RFC 6749 §3.3
_SYNTAX = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: +[\x21\x23-\x5b\x5d-\x7e]+)*")
# Of OpenID Connect and of habit: clients add them without being asked, and need no answer.
IGNORED = frozenset({"openid", "profile", "email", "address", "phone", "offline_access"})


class BadScope(ValueError):
    """`invalid_scope`: not a list of scopes, or nothing in it that we know."""


def known_scopes(policy: Policy) -> tuple[str, ...]:
    """All that a client can be given, in the policy's order. Operating this server is for people alone."""
    return tuple(name for name in policy.scope_names() if name != ADMIN)


def default_scopes(policy: Policy, challenge: Challenge) -> tuple[str, ...]:
    """What a client gets that names none, and what the first challenge names."""
    return (READ,) if challenge == "minimal" else known_scopes(policy)


def requested(text: str | None, policy: Policy, default: Collection[str]) -> tuple[str, ...]:
    """The scopes that a request means; unknown ones are dropped (RFC 6749 §3.3). Raises BadScope."""
    names = split(text) if text else []
    wanted = [name for name in names if name not in IGNORED]
    if not wanted:
        return in_order(default, policy)
    found = in_order(wanted, policy)
    if not found:
        raise BadScope("None of the scopes is known here.")
    return found


def split(text: str) -> list[str]:
    """Raises BadScope."""
    if not _SYNTAX.fullmatch(text):
        raise BadScope("The scope parameter is malformed.")
    return text.split()


def within(wanted: Iterable[str], ceiling: frozenset[str], policy: Policy) -> tuple[str, ...]:
    """`wanted` with what it implies, as far as `ceiling` goes."""
    return in_order(expand(policy, frozenset(wanted)) & ceiling, policy)


def in_order(scopes: Collection[str], policy: Policy) -> tuple[str, ...]:
    """Those of `scopes` that a client can be given, in the policy's order."""
    return tuple(name for name in known_scopes(policy) if name in scopes)

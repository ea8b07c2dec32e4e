"""The one decision: may this principal do this operation, and why.

Listing and calling ask the same function, so what is listed can be called (up to limits on arguments).
`brain policy explain` prints the value made here; nothing else computes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from app.notes.models import SPACE_TO_WRITE, Caller, NoteInvalid, SpaceClosed, Spaces
from app.notes.valid import open_space
from app.policy.arguments import Limit
from app.policy.denies import NONE, Denies
from app.policy.rules import EVERYTHING, READ, WRITE, Kind, Policy, fits
from app.principal import Principal

WHOAMI = "whoami"
# Reasons that are known again in the audit log, by their beginning and by their end.
TOKEN_LACKS = "the client's token lacks "  # noqa: S105 - a reason
SHUT_OFF = "(brain deny)"
NOT_NAMED = "it is of an upstream, and no scope of the policy names it"
NO_SPACES = Spaces()
_CACHED = 4096
_NAME_MAX = 200  # longer names are decided, but not remembered


@dataclass(frozen=True, slots=True)
class Operation:
    """A list entry or a call. `arguments` is None for an entry of a list.

    Of a call's arguments, `defaulted` were not given, and `unknown` are left open by somebody who asks
    without calling: no limit counts for them.

    `named_only`: of somebody whose word does not count. No built-in scope opens it, only one that names it.
    """

    kind: Kind
    name: str
    read_only: bool = True  # a tool's readOnlyHint; resources and prompts read
    arguments: Mapping[str, Any] | None = None
    defaulted: frozenset[str] = frozenset()
    unknown: frozenset[str] = frozenset()
    named_only: bool = False


@dataclass(frozen=True, slots=True)
class Match:
    """A rule that applies, with what it gives. `scopes` has the hierarchy worked in."""

    rule: str
    reason: str
    scopes: frozenset[str]
    spaces: tuple[str, ...]
    limits: tuple[Limit, ...]

    @property
    def because(self) -> str:
        return f"{self.rule}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Everything the policy grants one principal, before any token narrows it."""

    matches: tuple[Match, ...]
    scopes: frozenset[str]


@dataclass(frozen=True, slots=True)
class Decision:
    """`scopes_needed`: any one of these would do. `rules`: those that allowed it, or would have.

    `consent_would_help`: the ceiling allows it, only the token's scopes do not. `limits`: what calls
    must keep to, where every rule that allows the operation has limits.
    """

    allowed: bool
    operation: Operation
    scopes_needed: tuple[str, ...]
    scopes: frozenset[str]
    rules: tuple[str, ...]
    reasons: tuple[str, ...]
    spaces: Spaces = NO_SPACES
    limits: tuple[str, ...] = ()
    consent_would_help: bool = False


# Rules that allow an operation, each with its limits for it.
_Usable = tuple[tuple[Match, tuple[Limit, ...]], ...]


def decide(policy: Policy, principal: Principal, operation: Operation, denies: Denies = NONE) -> Decision:
    """The decision, with its reasons. Never raises. `denies` is the kill switch: it comes before all."""
    if denies and (shut := _shut_off(denies, principal, operation)):
        return Decision(False, operation, (), frozenset(), (), (shut,))
    # What a client sends is remembered only if it is short: the names of addresses are its choice.
    before = _before_arguments if len(operation.name) <= _NAME_MAX else _before_arguments.__wrapped__
    decision, usable = before(
        policy, principal, operation.kind, operation.name, operation.read_only, operation.named_only
    )
    if operation.arguments is None:
        return decision
    if not any(limits for _, limits in usable):
        return _in_open_space(replace(decision, operation=operation), principal)
    return _in_open_space(_within_limits(decision, usable, operation, principal), principal)


@lru_cache(maxsize=4 * _CACHED)
def _before_arguments(
    policy: Policy, principal: Principal, kind: Kind, name: str, read_only: bool, named_only: bool
) -> tuple[Decision, _Usable]:
    """The decision as far as it needs no arguments, and the rules that allow it, with their limits for it."""
    operation = Operation(kind, name, read_only, named_only=named_only)
    granted = ceiling(policy, principal)
    scopes = effective_scopes(policy, principal)
    needed = scopes_needed(policy, kind, name, read_only, named_only=named_only)
    if kind == "tool" and name == WHOAMI:
        return Decision(True, operation, (), scopes, (), ("open to everybody who is known",), Spaces()), ()
    if not needed:
        return Decision(False, operation, (), scopes, (), (NOT_NAMED,)), ()
    giving = tuple(match for match in granted.matches if not match.scopes.isdisjoint(needed))
    if not giving:
        return Decision(False, operation, needed, scopes, (), (_why_not(granted, needed),)), ()
    if scopes.isdisjoint(needed):
        why = f"{TOKEN_LACKS}{' or '.join(needed)}"
        rules = tuple(match.rule for match in giving)
        return Decision(False, operation, needed, scopes, rules, (why,), consent_would_help=True), ()
    # A rule counts by what the token has of it: the limits and spaces of the others stay closed.
    usable = tuple(
        (match, _limits_of(match, operation))
        for match in giving
        if not match.scopes.isdisjoint(scopes.intersection(needed))
    )
    return _allowed(operation, needed, scopes, usable, principal), usable


def _shut_off(denies: Denies, principal: Principal, operation: Operation) -> str | None:
    if denies.shut(principal):
        return f"{principal.id} is shut off by the operator {SHUT_OFF}"
    if principal.door == "tunnel" and denies.tunnel:
        return f"the tunnel door is closed by the operator {SHUT_OFF}"
    if operation.kind == "tool" and operation.name in denies.tools:
        return f"tool:{operation.name} is shut off by the operator {SHUT_OFF}"
    return None


def _within_limits(
    decision: Decision, usable: _Usable, operation: Operation, principal: Principal
) -> Decision:
    """Rules only add: one rule whose limits the arguments keep is enough."""
    arguments = operation.arguments or {}
    broken = [
        tuple(limit for limit in limits if limit.arg not in operation.unknown and not limit.allows(arguments))
        for _, limits in usable
    ]
    kept = tuple(one for one, wrong in zip(usable, broken, strict=True) if not wrong)
    if kept:
        return _allowed(operation, decision.scopes_needed, decision.scopes, kept, principal)
    reasons = tuple(
        f"{match.rule}: {limit.describe()}{_left_out(operation, limit)}"
        for (match, _), wrong in zip(usable, broken, strict=True)
        for limit in wrong
    )
    rules = tuple(match.rule for match, _ in usable)
    return Decision(False, operation, decision.scopes_needed, decision.scopes, rules, reasons)


def _left_out(operation: Operation, limit: Limit) -> str:
    """What a caller cannot know who gave no value."""
    if limit.arg not in operation.defaulted:
        return ""
    default = (operation.arguments or {}).get(limit.arg)
    return "; it was left out" if default is None else f"; it was left out, and {default} is the default"


def _in_open_space(decision: Decision, principal: Principal) -> Decision:
    """Writing into a space is a matter of the rules, too. What reads finds nothing in a closed one."""
    argument = SPACE_TO_WRITE.get(decision.operation.name) if decision.operation.kind == "tool" else None
    space = (decision.operation.arguments or {}).get(argument or "")
    if not decision.allowed or not isinstance(space, str):
        return decision
    try:
        open_space(Caller(principal.id, principal.own_space, decision.spaces), space)
    except SpaceClosed as closed:
        return replace(decision, allowed=False, reasons=(closed.public.rstrip("."),))
    except NoteInvalid:  # no name at all: the tool says what is wrong with it
        pass
    return decision


def _allowed(
    operation: Operation,
    needed: tuple[str, ...],
    scopes: frozenset[str],
    usable: _Usable,
    principal: Principal,
) -> Decision:
    matches = tuple(match for match, _ in usable)
    return Decision(
        True,
        operation,
        needed,
        scopes,
        tuple(match.rule for match in matches),
        tuple(match.because for match in matches),
        _spaces(matches, principal),
        _limits_to_tell(usable),
    )


def _limits_of(match: Match, operation: Operation) -> tuple[Limit, ...]:
    if operation.kind != "tool":
        return ()
    return tuple(limit for limit in match.limits if fits(limit.tool, operation.name))


def _limits_to_tell(usable: _Usable) -> tuple[str, ...]:
    """None at all if one rule is without limits for this tool; else each rule's, joined."""
    told = [" and ".join(limit.describe() for limit in limits) for _, limits in usable]
    return tuple(dict.fromkeys(told)) if all(told) else ()


@lru_cache(maxsize=_CACHED)
def ceiling(policy: Policy, principal: Principal) -> Ceiling:
    """What the policy grants `principal`: the LAN's line, or every rule that applies."""
    if principal.kind == "lan":
        everything = expand(policy, policy.lan)
        match = Match("lan", "came in by the LAN door", everything, ("*", "~*"), ())
        return Ceiling((match,), everything)
    matches = tuple(
        Match(rule.name, reason, expand(policy, rule.scopes), rule.spaces, rule.limits)
        for rule in policy.rules
        if (reason := rule.reason(principal)) is not None
    )
    return Ceiling(matches, frozenset().union(*(match.scopes for match in matches)))


@lru_cache(maxsize=_CACHED)
def effective_scopes(policy: Policy, principal: Principal) -> frozenset[str]:
    """The ceiling, narrowed by the token's scopes where a token is used."""
    granted = ceiling(policy, principal).scopes
    if principal.token_scopes is None:
        return granted
    return granted & expand(policy, principal.token_scopes)


def expand(policy: Policy, scopes: frozenset[str]) -> frozenset[str]:
    """The hierarchy worked in: `*` is every scope, writing implies reading."""
    if EVERYTHING in scopes:
        return frozenset(policy.scope_names())
    return scopes | {READ} if WRITE in scopes else scopes


def scopes_needed(
    policy: Policy, kind: Kind, name: str, read_only: bool, *, named_only: bool = False
) -> tuple[str, ...]:
    """Any one of these opens the operation. An own scope takes its names out of the built-in classes."""
    own = tuple(scope.name for scope in policy.own_scopes if scope.covers(kind, name))
    if own or named_only:
        return own
    return (READ,) if kind != "tool" or read_only else (WRITE,)


def _why_not(granted: Ceiling, needed: tuple[str, ...]) -> str:
    if not granted.matches:
        return "no rule of the policy names this principal"
    has = ", ".join(sorted(granted.scopes)) or "nothing"
    return f"needs {' or '.join(needed)}; its rules grant {has}"


def _spaces(matches: tuple[Match, ...], principal: Principal) -> Spaces:
    """`*` is every shared space and one's own; another person's own must be named in full."""
    named = {space for match in matches for space in match.spaces}
    own = principal.own_space
    opens_own = own is not None and not named.isdisjoint({"*", "~"})
    names = frozenset(named - {"*", "~", "~*"}) | (frozenset({own}) if own and opens_own else frozenset())
    return Spaces(every="~*" in named, shared="*" in named, names=names)

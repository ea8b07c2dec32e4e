"""OLD against NEW: who gains or loses which scope, tool, space, and whose limits change.

Every answer is `decide`'s, asked for everybody whom either policy names and for a stand-in where it names
many: a domain, a group, any person. Rules only add, so whoever is several of these (a named e-mail in a
group, say) has what all of these have.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

from app.policy.decide import Decision, Operation, decide, effective_scopes
from app.policy.rules import Kind, Policy, fits, principal_named
from app.principal import LAN, Principal

_NOWHERE = "nobody@elsewhere.invalid"
ANY_PERSON = "any person"
OTHER_SHARED = "any other shared space"
OTHERS_OWN = "the own spaces of others"
NO_SPACE = "where no space counts"

# Where a decision holds: space → what calls must keep to there (nothing: free). NO_SPACE is always there.
_Reach = Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Change:
    """`+` gained, `-` lost, `~` a limit that is another now. `detail` completes the sentence."""

    sign: Literal["+", "-", "~"]
    who: str
    what: Literal["scope", "tool", "resource", "prompt", "space", "limit"]
    name: str
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.sign} {self.who}  {self.what} {self.name}{self.detail and '  ' + self.detail}"


def diff(old: Policy, new: Policy, operations: Iterable[Operation]) -> tuple[Change, ...]:
    """Grouped by who. `operations`: all that can be listed, without arguments."""
    known = tuple(operations)
    asked = tuple(dict.fromkeys((*known, *_named_operations(known, old, new))))
    sides = (_Side(old, _spaces_of(old, new)), _Side(new, _spaces_of(old, new)))
    return tuple(
        change for who, principal in everybody(old, new) for change in _changes(who, principal, sides, asked)
    )


def in_words(changes: tuple[Change, ...]) -> str:
    """One line for each change, a blank one between two who."""
    lines: list[str] = []
    for before, change in zip((None, *changes), changes, strict=False):
        if before is not None and before.who != change.who:
            lines.append("")
        lines.append(str(change))
    return "".join(f"{line}\n" for line in lines) or "no difference\n"


def everybody(old: Policy, new: Policy) -> Iterator[tuple[str, Principal]]:
    """Everybody whom either policy names, by the name to show, and the stand-ins."""
    rules = (*old.rules, *new.rules)
    emails = frozenset[str]().union(*(rule.emails for rule in rules))
    domains = frozenset[str]().union(*(rule.domains for rule in rules))
    groups = frozenset[str]().union(*(rule.groups for rule in rules))
    tokens = frozenset[str]().union(*(rule.service_tokens for rule in rules))
    yield LAN.id, LAN
    yield ANY_PERSON, principal_named(_NOWHERE)
    for group in sorted(groups):
        yield f"a person in group {group}", principal_named(_NOWHERE, frozenset({group}))
    for domain in sorted(domains):
        email = f"anyone@{domain}"
        while email in emails:
            email = f"any-{email}"
        yield email, principal_named(email)
    for email in sorted(emails):
        yield email, principal_named(email)
    for token in sorted(tokens):
        yield token, Principal(kind="service", id=token, door="tunnel")


class _Side:
    """One policy, asked."""

    def __init__(self, policy: Policy, spaces: frozenset[str]) -> None:
        self.policy, self._spaces = policy, spaces
        self._alone = {rule.name: replace(policy, rules=(rule,)) for rule in policy.rules}

    def scopes(self, principal: Principal) -> frozenset[str]:
        return effective_scopes(self.policy, principal)

    def reach(self, principal: Principal, operation: Operation) -> _Reach | None:
        """None: not allowed. In a space, one rule without limits is enough to be free there."""
        decision = decide(self.policy, principal, operation)
        if not decision.allowed:
            return None
        found: dict[str, frozenset[str]] = {}
        for part in self._parts(principal, decision):
            for space in self._open(principal, part):
                told, so_far = frozenset(part.limits), found.get(space)
                free = so_far is not None and not (so_far and told)
                found[space] = frozenset() if free else told | (so_far or frozenset())
        return found

    def _parts(self, principal: Principal, decision: Decision) -> list[Decision]:
        """The decision of each rule alone: where it opens, and under which limits."""
        rules = [self._alone[name] for name in decision.rules if name in self._alone]
        return [decide(policy, principal, decision.operation) for policy in rules] or [decision]

    def _open(self, principal: Principal, part: Decision) -> Iterator[str]:
        yield NO_SPACE
        for space in self._spaces:
            if part.spaces.includes(space) and space != principal.own_space:
                yield space
        if principal.own_space is not None and part.spaces.includes(principal.own_space):
            yield "~"
        if part.spaces.shared or part.spaces.every:
            yield OTHER_SHARED
        if part.spaces.every:
            yield OTHERS_OWN


def _changes(
    who: str, principal: Principal, sides: tuple[_Side, _Side], operations: tuple[Operation, ...]
) -> Iterator[Change]:
    old, new = sides
    for sign, scopes in _gained_and_lost(old.scopes(principal), new.scopes(principal)):
        for scope in scopes:
            yield Change(sign, who, "scope", scope)
    both: dict[Operation, tuple[_Reach, _Reach]] = {}
    for operation in operations:
        before, after = old.reach(principal, operation), new.reach(principal, operation)
        if before is not None and after is not None:
            both[operation] = before, after
        elif after is not None:
            yield Change("+", who, operation.kind, operation.name, _where(after))
        elif before is not None:
            yield Change("-", who, operation.kind, operation.name, _where(before))
    yield from _space_changes(who, both)
    yield from _limit_changes(who, both)


def _space_changes(who: str, both: Mapping[Operation, tuple[_Reach, _Reach]]) -> Iterator[Change]:
    """Of operations that are allowed before and after."""
    found: dict[tuple[Literal["+", "-"], str], list[Operation]] = {}
    for operation, (before, after) in both.items():
        for sign, spaces in _gained_and_lost(frozenset(before), frozenset(after)):
            for space in spaces:
                found.setdefault((sign, space), []).append(operation)
    for (sign, space), operations in sorted(found.items()):
        spaced = [operation for operation, (before, after) in both.items() if len({*before, *after}) > 1]
        yield Change(sign, who, "space", space, "" if operations == spaced else f"for {_names(operations)}")


def _limit_changes(who: str, both: Mapping[Operation, tuple[_Reach, _Reach]]) -> Iterator[Change]:
    for operation, (before, after) in both.items():
        found: dict[str, list[str]] = {}
        for space in sorted(before.keys() & after.keys()):
            if before[space] != after[space]:
                told = f"{_told(before[space])} → {_told(after[space])}"
                found.setdefault(told, []).append(space)
        for told, spaces in found.items():
            everywhere = len(spaces) == len(before.keys() & after.keys())
            spaces = [space for space in spaces if space != NO_SPACE]
            yield Change(
                "~",
                who,
                "limit",
                f"on {operation.name}: {told}",
                "" if everywhere else f"in {', '.join(spaces)}" if spaces else NO_SPACE,
            )


def _gained_and_lost(
    before: frozenset[str], after: frozenset[str]
) -> tuple[tuple[Literal["+"], list[str]], tuple[Literal["-"], list[str]]]:
    return ("+", sorted(after - before)), ("-", sorted(before - after))


def _where(reach: _Reach) -> str:
    """Where a gained or lost operation works, and what its calls must keep to."""
    limits = sorted({_told(limits) for limits in reach.values() if limits})
    spaces = [f"in {_spaces_told(reach)}"] if len(reach) > 1 else []
    return "; ".join([*spaces, *limits])


def _spaces_told(reach: _Reach) -> str:
    if OTHERS_OWN in reach:
        return "every space"
    if OTHER_SHARED not in reach:
        return ", ".join(sorted(space for space in reach if space != NO_SPACE))
    return ", ".join(["all shared spaces", *sorted(space for space in reach if space.startswith("~"))])


def _told(limits: frozenset[str]) -> str:
    return "; or ".join(sorted(limits)) or "none"


def _names(operations: list[Operation]) -> str:
    return ", ".join(operation.name for operation in operations)


def _spaces_of(*policies: Policy) -> frozenset[str]:
    named = {space for policy in policies for rule in policy.rules for space in rule.spaces}
    return frozenset(named - {"*", "~", "~*"})


def _named_operations(known: tuple[Operation, ...], *policies: Policy) -> Iterator[Operation]:
    """What own scopes name, by their patterns, where nothing known has such a name: it may come yet."""
    for policy in policies:
        for scope in policy.own_scopes:
            named = {"tool": scope.tools, "resource": scope.resources, "prompt": scope.prompts}
            for kind, patterns in named.items():
                for pattern in patterns:
                    if not any(one.kind == kind and fits(pattern, one.name) for one in known):
                        yield Operation(cast(Kind, kind), pattern, read_only=kind != "tool")

"""What is wrong with a policy that reads well: names that do not exist, rules that change nothing."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from app.policy.calls import call_of
from app.policy.decide import WHOAMI, Operation, expand, scopes_needed
from app.policy.rules import ADMIN, EVERYTHING, Policy, Rule, fits


@dataclass(frozen=True, slots=True)
class Tool:
    """What a policy needs to know of a tool."""

    name: str
    read_only: bool
    schema: Mapping[str, Any] = field(default_factory=dict, hash=False)
    named_only: bool = False  # see Operation

    @property
    def arguments(self) -> frozenset[str]:
        return frozenset(self.schema.get("properties", {}))

    def operation(self) -> Operation:
        """Its entry in a list."""
        return Operation("tool", self.name, self.read_only, named_only=self.named_only)

    def call(self, given: Mapping[str, Any] | None) -> Operation:
        return call_of(self.name, self.read_only, self.schema, given, named_only=self.named_only)


@dataclass(frozen=True, slots=True)
class Finding:
    """An `error` makes a rule or scope not mean what it says; a `warning` is worth a look.

    `name`: the tool, where it is a name that nothing has.
    """

    level: Literal["error", "warning"]
    place: str
    what: str
    name: str = ""


def check(
    policy: Policy,
    tools: Iterable[Tool],
    unseen: Iterable[str] = (),
    resources: Collection[str] | None = None,
) -> tuple[Finding, ...]:
    """All findings, errors first. `unseen`: beginnings of names of which nobody can say yet what there is.
    `resources`: URIs and templates as they are listed; None where nobody can say.
    """
    known = {tool.name: tool for tool in tools}
    found = [
        *_unknown_tools(policy, known),
        *_limits(policy, known),
        *_cases(policy, known),
    ]
    begins = tuple(unseen)
    found = [_later(finding, begins) for finding in found] if begins else found
    found += _unknown_resources(policy, resources) if resources is not None else ()
    found += [*_empty(policy), *_shadowed(policy), *_strangers(policy, known)]
    return tuple(sorted(found, key=lambda finding: finding.level))


def unusable(policy: Policy, tools: Iterable[Tool]) -> tuple[str, ...]:
    """Names of the tools that nobody can use under this policy, whoever they are."""
    given = expand(policy, policy.lan).union(*(expand(policy, rule.scopes) for rule in policy.rules))
    return tuple(
        tool.name
        for tool in tools
        if tool.name != WHOAMI
        and given.isdisjoint(
            scopes_needed(policy, "tool", tool.name, tool.read_only, named_only=tool.named_only)
        )
    )


def _later(finding: Finding, unseen: tuple[str, ...]) -> Finding:
    """A name that may be right: its upstream was never reached."""
    if not finding.name.startswith(unseen):
        return finding
    what = f"`{finding.name}` cannot be checked: its upstream was not reached yet; start the server once"
    return replace(finding, level="warning", what=what)


def _strangers(policy: Policy, known: Mapping[str, Tool]) -> Iterator[Finding]:
    hidden = [
        name
        for name, tool in known.items()
        if tool.named_only and not scopes_needed(policy, "tool", name, tool.read_only, named_only=True)
    ]
    if hidden:
        few = ", ".join(hidden[:5]) + (f" and {len(hidden) - 5} more" if len(hidden) > 5 else "")
        yield Finding("warning", "upstreams", f"in no scope, so nobody sees them: {few}")


def _unknown_tools(policy: Policy, known: Mapping[str, Tool]) -> Iterator[Finding]:
    for scope in policy.own_scopes:
        for pattern in scope.tools:
            if not any(fits(pattern, name) for name in known):
                yield Finding("error", f"scopes.{scope.name}.tools", _no_tool(pattern, known), pattern)


def _unknown_resources(policy: Policy, known: Collection[str]) -> Iterator[Finding]:
    """No errors: resources come and go."""
    begins = tuple(name.partition("{")[0] for name in known if "{" in name)
    for scope in policy.own_scopes:
        for pattern in scope.resources:
            # It may be one of a template's; which, is for its server to say.
            if not pattern.startswith(begins) and not any(fits(pattern, name) for name in known):
                close = difflib.get_close_matches(pattern, known, 1)
                hint = f"; did you mean `{close[0]}`?" if close else ""
                what = f"no resource or template is listed as `{pattern}`{hint}"
                yield Finding("warning", f"scopes.{scope.name}.resources", what)


def _limits(policy: Policy, known: Mapping[str, Tool]) -> Iterator[Finding]:
    for rule in policy.rules:
        for limit in rule.limits:
            place = f"rule {rule.name}, limit on {limit.tool}"
            named = [tool for name, tool in known.items() if fits(limit.tool, name)]
            if not named:
                yield Finding("error", place, _no_tool(limit.tool, known), limit.tool)
            for tool in named:
                if limit.arg not in tool.arguments:
                    has = ", ".join(sorted(tool.arguments)) or "none"
                    yield Finding("error", place, f"{tool.name} has no argument `{limit.arg}`; it has: {has}")


def _cases(policy: Policy, known: Mapping[str, Tool]) -> Iterator[Finding]:
    for case in policy.cases:
        if case.tool not in known:
            yield Finding("error", f"case as {case.who}", _no_tool(case.tool, known), case.tool)


def _empty(policy: Policy) -> Iterator[Finding]:
    for rule in policy.rules:
        if not rule.scopes:
            yield Finding("warning", f"rule {rule.name}", "gives no scope, so it changes nothing")
        if rule.any_person and not rule.scopes.isdisjoint({ADMIN, EVERYTHING}):
            yield Finding(
                "warning", f"rule {rule.name}", f"makes every person who can log in an operator ({ADMIN})"
            )
    used = frozenset[str]().union(policy.lan, *(rule.scopes for rule in policy.rules))
    for scope in policy.own_scopes:
        if scope.name not in used and EVERYTHING not in used:
            lost = "sees everybody's calls" if scope.name == ADMIN else "may use its tools"
            yield Finding("warning", f"scopes.{scope.name}", f"no rule gives it: nobody {lost}")


def _shadowed(policy: Policy) -> Iterator[Finding]:
    for rule in policy.rules:
        for wider in policy.rules:
            if wider is not rule and _covers(policy, wider, rule):
                yield Finding(
                    "warning", f"rule {rule.name}", f"gives nothing that {wider.name} does not give already"
                )
                break


def _covers(policy: Policy, wider: Rule, rule: Rule) -> bool:
    if wider.limits or not expand(policy, rule.scopes) <= expand(policy, wider.scopes):
        return False
    if "*" not in wider.spaces and not set(rule.spaces) <= set(wider.spaces):
        return False
    people = wider.any_person or (
        not rule.any_person
        and rule.groups <= wider.groups
        and rule.domains <= wider.domains
        and all(e in wider.emails or e.rpartition("@")[2] in wider.domains for e in rule.emails)
    )
    if not people or not rule.service_tokens <= wider.service_tokens:
        return False
    # Two rules that say the same: only the later one is too much.
    return not _covers_back(policy, wider, rule) or policy.rules.index(wider) < policy.rules.index(rule)


def _covers_back(policy: Policy, wider: Rule, rule: Rule) -> bool:
    same = ("emails", "domains", "groups", "service_tokens", "any_person", "spaces", "limits")
    return all(getattr(wider, name) == getattr(rule, name) for name in same) and expand(
        policy, wider.scopes
    ) == expand(policy, rule.scopes)


def _no_tool(name: str, known: Mapping[str, Tool]) -> str:
    close = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean `{close[0]}`?" if close else "`brain policy explain --as lan` lists the tools"
    return f"no tool is named `{name}`; {hint}"

"""From the text of a policy file to a Policy. All problems at once, each with its place and its fix."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Iterable
from typing import Any, cast

from app.access.claims import ascii_lower
from app.errors import AppError
from app.policy.arguments import LIMIT_KINDS, Limit, LimitKind, compile_pattern
from app.policy.rules import ADMIN, BUILT_IN, EVERY_SPACE, EVERYTHING, Case, OwnScope, Policy, Rule
from app.tables import Table, one_line, read_toml

# RFC 6749 §3.3 scope-token, and short enough to be read on a consent page.
_SCOPE_NAME = re.compile(r"[\x21\x23-\x5B\x5D-\x7E]{1,64}")
_SELECTORS = ("emails", "domains", "groups", "service_tokens")


class PolicyInvalid(AppError):
    """`problems` has one line for each thing to mend: `place: what is wrong; what to do`."""

    code = "policy_invalid"
    status = 500

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(map(one_line, problems))
        super().__init__("The policy file has problems:\n" + "\n".join(f"- {p}" for p in self.problems))


def parse(text: str | bytes) -> Policy:
    """Raises PolicyInvalid."""
    data = _toml(text)
    problems: list[str] = []
    table = _Table(data, "policy", problems)
    table.only("version", "scopes", "lan", "rule", "case")
    table.version_one()
    own = tuple(_own_scope(name, part) for name, part in table.named_tables("scopes"))
    known = {EVERYTHING, *BUILT_IN, *(scope.name for scope in own)}
    lan = _lan(table, known)
    rules = tuple(_rule(number, part, known) for number, part in enumerate(table.tables("rule"), 1))
    cases = tuple(_case(part) for part in table.tables("case"))
    _unique_names(rules, problems)
    if problems:
        raise PolicyInvalid(problems)
    return Policy(own, lan, rules, cases)


class _Table(Table):
    """With what only a policy has."""

    def scopes(self, known: set[str]) -> frozenset[str]:
        named = self.texts("scopes")
        for scope in sorted(set(named) - known):
            close = difflib.get_close_matches(scope, known, 1)
            hint = f"did you mean `{close[0]}`?" if close else f'define it as [scopes."{scope}"]'
            self.wrong("scopes", f"unknown scope `{scope}`; {hint}")
        if not named and "scopes" not in self.data:
            self.wrong("scopes", 'missing; say what it gives, like scopes = ["mcp:tools:read"]')
        return frozenset(named)

    def tables(self, field: str) -> list[_Table]:
        value = self.data.get(field, [])
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            self.wrong(field, f"must be written as [[{field}]]")
            return []
        return [_Table(one, f"{field} {n}", self.problems) for n, one in enumerate(value, 1)]

    def named_tables(self, field: str) -> list[tuple[str, _Table]]:
        value = self.data.get(field, {})
        if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
            self.wrong(field, f'must be written as [{field}."name"]')
            return []
        return [(name, _Table(one, f"{field}.{name}", self.problems)) for name, one in value.items()]


def _toml(text: str | bytes) -> dict[str, Any]:
    try:
        return read_toml(text)
    except ValueError as problem:
        raise PolicyInvalid([str(problem)]) from None


def _own_scope(name: str, table: _Table) -> OwnScope:
    table.only("description", "tools", "resources", "prompts")
    # The operator's scope is built in, and may still be given another description, or tools.
    if not _SCOPE_NAME.fullmatch(name) or name in {EVERYTHING, *BUILT_IN} - {ADMIN}:
        table.problems.append(
            f"{table.place}: not a name for an own scope; "
            "use letters, digits, `:`, `-`, `_`, and no built-in name"
        )
    lists = {field: table.texts(field) for field in ("tools", "resources", "prompts")}
    for field, patterns in lists.items():
        for pattern in patterns:
            if "*" in pattern[:-1]:
                table.wrong(field, f"`{pattern}`: a `*` may stand at the end only")
    if not any(lists.values()) and name != ADMIN:
        table.problems.append(f'{table.place}: names nothing; add tools = ["…"]')
    return OwnScope(name, table.text("description", BUILT_IN.get(name, name)), **lists)


def _lan(table: _Table, known: set[str]) -> frozenset[str]:
    data = table.data.get("lan", {"scopes": [EVERYTHING]})
    if not isinstance(data, dict):
        table.wrong("lan", "must be written as [lan]")
        return frozenset()
    part = _Table(data, "lan", table.problems)
    part.only("scopes")
    return part.scopes(known)


def _rule(number: int, table: _Table, known: set[str]) -> Rule:
    name = table.text("name", f"rule {number}")
    table.place = f"rule {name}" if name else table.place
    table.only("name", "scopes", *_SELECTORS, "any_person", "spaces", "limits")
    selectors = {field: frozenset(table.texts(field)) for field in _SELECTORS}
    any_person = table.flag("any_person")
    if not any_person and not any(selectors.values()):
        table.problems.append(
            f"{table.place}: names nobody; add one of {', '.join(_SELECTORS)}, or any_person = true"
        )
    for email in selectors["emails"]:
        if email.count("@") != 1 or email.startswith("@") or email.endswith("@"):
            table.wrong("emails", f"`{email}` is not an e-mail address")
    for domain in selectors["domains"]:
        if "@" in domain or "*" in domain or "." not in domain.strip(".") or domain != domain.strip("."):
            table.wrong("domains", f"`{domain}` is not a domain; write it like example.com")
    return Rule(
        name=name,
        scopes=table.scopes(known),
        emails=frozenset(map(ascii_lower, selectors["emails"])),
        domains=frozenset(map(ascii_lower, selectors["domains"])),
        groups=selectors["groups"],
        service_tokens=selectors["service_tokens"],
        any_person=any_person,
        spaces=_spaces(table),
        limits=tuple(limit for part in table.tables("limits") if (limit := _limit(table, part))),
    )


def _spaces(table: _Table) -> tuple[str, ...]:
    spaces = table.texts("spaces", EVERY_SPACE)
    for space in spaces:
        if "*" in space and space != "*":
            table.wrong("spaces", f"`{space}`: write a name, `~` for the person's own, or `*` for all")
    return tuple(ascii_lower(space) if space.startswith("~") else space for space in spaces)


def _limit(rule: _Table, table: _Table) -> Limit | None:
    table.place = f"{rule.place}, {table.place}"
    table.only("tool", "arg", *LIMIT_KINDS)
    tool, arg = table.text("tool"), table.text("arg")
    kinds = [kind for kind in LIMIT_KINDS if kind in table.data]
    if len(kinds) != 1:
        table.problems.append(f"{table.place}: say exactly one of {', '.join(LIMIT_KINDS)}")
        return None
    kind = kinds[0]
    value = table.data[kind]
    if (problem := _LIMIT_PROBLEM[kind](value)) is not None:
        table.wrong(kind, problem)
        return None
    return Limit(tool, arg, kind, tuple(value) if isinstance(value, list) else value)


def _one_of_problem(value: Any) -> str | None:
    usable = isinstance(value, list) and value and all(isinstance(v, str | int | float) for v in value)
    return None if usable else "must be a list of texts or numbers"


def _matches_problem(value: Any) -> str | None:
    if not isinstance(value, str):
        return "must be a regular expression"
    try:
        compile_pattern(value)
    except ValueError as problem:  # UnicodeEncodeError too: half a surrogate pair is no text
        return f"not a usable regular expression: {problem}"
    return None


def _number_problem(value: Any) -> str | None:
    usable = isinstance(value, int) or (isinstance(value, float) and math.isfinite(value))
    return None if usable and not isinstance(value, bool) else "must be a number"


def _length_problem(value: Any) -> str | None:
    usable = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return None if usable else "must be a whole number, 0 or more"


def _under_problem(value: Any) -> str | None:
    usable = isinstance(value, str) and value and ".." not in value.split("/")
    return None if usable else "must be a path without `..`"


_LIMIT_PROBLEM: dict[LimitKind, Callable[[Any], str | None]] = {
    "one_of": _one_of_problem,
    "matches": _matches_problem,
    "max": _number_problem,
    "min": _number_problem,
    "max_length": _length_problem,
    "under": _under_problem,
}


def _case(table: _Table) -> Case:
    table.only("as", "tool", "args", "groups", "expect")
    expect = table.data.get("expect")
    if expect not in ("allow", "deny"):
        table.wrong("expect", 'must be "allow" or "deny"')
    args = table.data.get("args", {})
    if not isinstance(args, dict):
        table.wrong("args", "must be a table, like { limit = 5 }")
        args = {}
    return Case(
        table.text("as"), table.text("tool"), cast(Any, expect), args, frozenset(table.texts("groups"))
    )


def _unique_names(rules: tuple[Rule, ...], problems: list[str]) -> None:
    seen: set[str] = set()
    for rule in rules:
        if rule.name in seen and rule.name:
            problems.append(f"rule {rule.name}: the name is taken; every rule needs a name of its own")
        seen.add(rule.name)

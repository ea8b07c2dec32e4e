"""The nouns of a policy: scopes, rules, limits, cases. Rules only ever add; nobody is refused by name.

There is no negative rule, because the groups of an assertion can be trimmed: what is missing there
must never open anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from app.access.claims import ascii_lower
from app.policy.arguments import Limit
from app.principal import LAN, Principal

READ = "mcp:tools:read"
WRITE = "mcp:tools:write"
ADMIN = "brain:admin"
EVERYTHING = "*"
BUILT_IN = {
    READ: "Read: tools that only read, resources and prompts",
    WRITE: "Write: all other tools; includes reading",
    ADMIN: "Operate: see everybody's calls, denials and the policy on the page at /",
}
EVERY_SPACE = ("*",)

Kind = Literal["tool", "resource", "prompt"]


@dataclass(frozen=True, slots=True)
class OwnScope:
    """A scope that the policy file defines. Patterns are exact names, or end in one `*`."""

    name: str
    description: str
    tools: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()

    def covers(self, kind: Kind, name: str) -> bool:
        patterns = {"tool": self.tools, "resource": self.resources, "prompt": self.prompts}[kind]
        return any(fits(pattern, name) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class Rule:
    """Gives `scopes` to everybody whom one of its selectors names. E-mails and domains are lower case."""

    name: str
    scopes: frozenset[str]
    emails: frozenset[str] = frozenset()
    domains: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    service_tokens: frozenset[str] = frozenset()
    any_person: bool = False
    spaces: tuple[str, ...] = EVERY_SPACE
    limits: tuple[Limit, ...] = ()

    def reason(self, principal: Principal) -> str | None:
        """Why this rule applies to `principal`, or None."""
        if principal.kind == "service":
            return f"service token is {principal.id}" if principal.id in self.service_tokens else None
        if principal.kind != "person" or principal.email is None:
            return None
        if principal.email in self.emails:
            return f"e-mail is {principal.email}"
        domain = principal.email.rpartition("@")[2]
        if domain in self.domains:
            return f"e-mail is of {domain}"
        if shared := self.groups & principal.groups:
            return f"group is {min(shared)}"
        return "any person" if self.any_person else None

    def selectors(self) -> str:
        """Whom the rule names, in the words of the file."""
        named = [
            f"{word} = [{', '.join(sorted(values))}]"
            for word, values in (
                ("emails", self.emails),
                ("domains", self.domains),
                ("groups", self.groups),
                ("service_tokens", self.service_tokens),
            )
            if values
        ]
        return ", ".join([*named, "any_person = true"] if self.any_person else named)


@dataclass(frozen=True, slots=True)
class Case:
    """One line of `brain policy test`: as `who`, calling `tool` with `args`, is expected to be …"""

    who: str
    tool: str
    expect: Literal["allow", "deny"]
    args: Mapping[str, object] = field(default_factory=dict)
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, eq=False)
class Policy:
    """A whole policy file. Compared and cached by identity: a reload is a new policy."""

    own_scopes: tuple[OwnScope, ...] = ()
    lan: frozenset[str] = frozenset({EVERYTHING})
    rules: tuple[Rule, ...] = ()
    cases: tuple[Case, ...] = ()

    @cached_property
    def names_groups(self) -> bool:
        """Whether it makes a difference to anybody which groups they are in."""
        return any(rule.groups for rule in self.rules)

    def scope_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*BUILT_IN, *(scope.name for scope in self.own_scopes))))

    def describe(self, scope: str) -> str:
        own = {known.name: known.description for known in self.own_scopes}
        return own.get(scope) or BUILT_IN.get(scope, "Everything")


# No file: the LAN as before, and through the tunnel nobody.
NO_POLICY = Policy()


def fits(pattern: str, name: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def principal_named(who: str, groups: frozenset[str] = frozenset()) -> Principal:
    """The Principal that `brain policy` commands mean: `lan`, an e-mail, or a service token's id."""
    if who == LAN.id:
        return LAN
    if "@" not in who:
        return Principal(kind="service", id=who, door="tunnel")
    email = ascii_lower(who)
    return Principal(
        kind="person", id=email, door="tunnel", email=email, groups=groups, groups_complete=bool(groups)
    )

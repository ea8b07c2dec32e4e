"""Gathers the facts of the page at `/`: what the policy says of a visitor, and what is on record."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from app.audit.activity import Activity, PastCall
from app.errors import AppError
from app.notes.models import Spaces
from app.pages.grants import Grants
from app.pages.home import (
    Address,
    Applied,
    Home,
    Operator,
    PolicyText,
    RuleText,
    ShutOff,
    Usable,
)
from app.policy.cases import in_words, run_cases
from app.policy.check import Tool
from app.policy.decide import WHOAMI, ceiling, decide, effective_scopes
from app.policy.denies import Denies
from app.policy.rules import ADMIN, Policy, Rule
from app.principal import Door, Principal

FIRST_SENTENCE_MAX = 200

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ToolText:
    """A tool as the server lists it."""

    tool: Tool
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the facts come from. What asks the database may raise AppError: the rest is still told."""

    policy: Callable[[], Policy]
    policy_problem: Callable[[], str | None]
    denies: Callable[[], Denies]
    tools: Callable[[], Awaitable[Sequence[ToolText]]]
    calls: Callable[[Principal], Awaitable[tuple[PastCall, ...]]]
    activity: Callable[[], Awaitable[Activity]]
    shut_off: Callable[[], Awaitable[Sequence[ShutOff]]]
    audit_healthy: Callable[[], bool]
    key_age: Callable[[], float | None]
    addresses: Mapping[Door, Address]
    grants: Callable[[Principal], Awaitable[Grants | None]] | None = None  # None: OAuth is off


async def gather(sources: Sources, principal: Principal, request_id: str) -> Home:
    """Everything that `principal` may see, and nothing else."""
    policy, listed = sources.policy(), await sources.tools()
    usable = _usable(policy, principal, sources.denies(), listed)
    scopes = effective_scopes(policy, principal)
    return Home(
        principal=principal,
        request_id=request_id,
        rules=tuple(
            Applied(match.rule, match.reason, described(policy, match.scopes))
            for match in ceiling(policy, principal).matches
        ),
        scopes=tuple(sorted(scopes)),
        tools=usable,
        hidden=len(listed) - len(usable),
        address=sources.addresses[principal.door],
        calls=await _or_none(sources.calls(principal)),
        operator=await _operator(sources, policy, listed) if ADMIN in scopes else None,
        grants=None if sources.grants is None else await sources.grants(principal),
    )


def described(policy: Policy, scopes: frozenset[str]) -> tuple[tuple[str, str], ...]:
    return tuple((scope, policy.describe(scope)) for scope in sorted(scopes))


def first_sentence(text: str) -> str:
    """Of a description, cut where it is too long for a list."""
    line = " ".join(text.strip().partition("\n\n")[0].split())
    sentence, end, _ = line.partition(". ")
    sentence += end.strip()
    if len(sentence) <= FIRST_SENTENCE_MAX:
        return sentence
    return f"{sentence[: FIRST_SENTENCE_MAX - 1].rstrip()}…"


def spaces_in_words(spaces: Spaces, principal: Principal) -> str:
    """As the visitor thinks of them: their own space is `your own`."""
    if spaces.every:
        return "all, everybody's own too"
    own = principal.own_space
    named = ["all shared ones"] if spaces.shared else []
    named += sorted(spaces.names - {own})
    return _and([*named, "your own"] if own in spaces.names else named) or "none"


def rule_text(rule: Rule) -> RuleText:
    whom = (
        *sorted(rule.emails),
        *(f"everybody at {domain}" for domain in sorted(rule.domains)),
        *(f"the group {group}" for group in sorted(rule.groups)),
        *(f"the service token {token}" for token in sorted(rule.service_tokens)),
        *(("every person who can log in",) if rule.any_person else ()),
    )
    words = {"*": "all shared ones and their own", "~": "their own", "~*": "everybody's own"}
    return RuleText(
        rule.name,
        whom,
        tuple(sorted(rule.scopes)),
        _and([words.get(space, space) for space in rule.spaces]) or "none",
        tuple(f"{limit.tool}: {limit.describe()}" for limit in rule.limits),
    )


def _usable(
    policy: Policy, principal: Principal, denies: Denies, listed: Sequence[ToolText]
) -> tuple[Usable, ...]:
    decided = [(one, decide(policy, principal, one.tool.operation(), denies)) for one in listed]
    return tuple(
        Usable(
            one.tool.name,
            one.title or one.tool.name,
            first_sentence(one.description),
            not one.tool.read_only,
            decision.limits,
            "" if one.tool.name == WHOAMI else spaces_in_words(decision.spaces, principal),
        )
        for one, decision in decided
        if decision.allowed
    )


async def _operator(sources: Sources, policy: Policy, listed: Sequence[ToolText]) -> Operator:
    results = run_cases(policy, [one.tool for one in listed])
    return Operator(
        policy=PolicyText(
            sources.policy_problem(),
            tuple(sorted(policy.lan)),
            tuple((name, policy.describe(name)) for name in policy.scope_names()),
            tuple(map(rule_text, policy.rules)),
            len(results),
            tuple(in_words(result) for result in results if not result.ok),
        ),
        activity=await _or_none(sources.activity()),
        shut_off=await _or_none(sources.shut_off()),
        audit_healthy=sources.audit_healthy(),
        tunnel="tunnel" in sources.addresses,
        key_age=sources.key_age(),
    )


async def _or_none(asked: Awaitable[T]) -> T | None:
    try:
        return await asked
    except AppError:
        return None


def _and(words: Sequence[str]) -> str:
    return ", ".join(words[:-1]) + " and " + words[-1] if len(words) > 1 else "".join(words)

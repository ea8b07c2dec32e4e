"""The audit log, decided again by another policy: which calls would have ended otherwise.

Every answer is `decide`'s. A record does not tell everything that the decision knew: arguments only where
they are kept, never the scopes of a client's token. Where that could turn the answer, it is asked twice,
once for the best and once for the worst, and the outcome says what it depends on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from app.notes.models import SPACE_TO_WRITE
from app.policy.calls import call_of
from app.policy.check import Tool
from app.policy.decide import SHUT_OFF, TOKEN_LACKS, Decision, Operation, decide
from app.policy.rules import Policy
from app.principal import LAN, Principal

Record = Mapping[str, Any]  # the fields of an audit record
ON_ARGUMENTS: Final = "depends on its arguments"
ON_TOKEN: Final = "depends on its client's token"  # noqa: S105 - an outcome
ON_TOOL: Final = "depends on what the tool was"
Outcome = Literal[
    "allow",
    "deny",
    "depends on its arguments",
    "depends on its client's token",
    "depends on what the tool was",
]

TOOL_CALL = "tools/call"
OPERATIONS = (TOOL_CALL, "resources/read", "prompts/get", "completion/complete")
_CUT = 200  # a kept text or list of this length may have been longer


@dataclass(frozen=True, slots=True)
class Shift:
    """Calls of one kind that would end otherwise, or might. `first` and `last` are their times."""

    principal: str
    operation: str
    name: str
    was: Literal["allow", "deny"]
    would_be: Outcome
    reasons: tuple[str, ...]
    count: int
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class Replay:
    """`calls`: how many records were decided again."""

    calls: int
    shifts: tuple[Shift, ...]


def replay(
    policy: Policy,
    records: Iterable[Record],
    tools: Iterable[Tool],
    templates: Iterable[str] = (),
    *,
    digest: Callable[[Mapping[str, Any]], str] = lambda _: "",
) -> Replay:
    """`records` oldest first. `templates`: the URI templates that answer for addresses.

    `digest` makes the `args_sha256` of a record: where it is that of what was kept, nothing is missing.
    """
    judge = _Judge(policy, tools, templates, digest)
    calls, found = 0, dict[tuple[Any, ...], Shift]()
    for record in records:
        if not _is_of_the_policy(record) or judge.knows_nothing_of(record):
            continue
        calls += 1
        would_be, reasons = judge(record)
        if would_be == record["decision"]:
            continue
        key = (
            record["principal"],
            record["operation"],
            record["name"],
            record["decision"],
            would_be,
            reasons,
        )
        at = str(record["ts"])
        so_far = found.get(key) or Shift(*key, count=0, first=at, last=at)
        found[key] = replace(so_far, count=so_far.count + 1, last=at)
    return Replay(calls, tuple(found.values()))


def in_words(done: Replay) -> str:
    """Each shift with its reasons, then how many calls it is all about."""
    changed = sum(shift.count for shift in done.shifts)
    calls = "1 call" if done.calls == 1 else f"{done.calls} calls"
    return "".join(map(_told, done.shifts)) + f"{changed or 'none'} of {calls} would or might end otherwise\n"


def _told(shift: Shift) -> str:
    when = shift.first if shift.count == 1 else f"{shift.count} × from {shift.first} to {shift.last}"
    return "".join(
        [
            f"{shift.was} → {shift.would_be}  {shift.principal}  {shift.operation} {shift.name}  ({when})\n",
            *(f"    because {why}\n" for why in shift.reasons),
        ]
    )


class _Judge:
    def __init__(
        self,
        policy: Policy,
        tools: Iterable[Tool],
        templates: Iterable[str],
        digest: Callable[[Mapping[str, Any]], str],
    ) -> None:
        self._policy, self._digest = policy, digest
        self._tools = {tool.name: tool for tool in tools}
        self._templates = [(template, _pattern(template)) for template in templates]
        self._lenient: dict[frozenset[str], Policy] = {}

    def __call__(self, record: Record) -> tuple[Outcome, tuple[str, ...]]:
        principal, (arguments, whole) = _principal(record), self._arguments(record)
        operations = list(self._operations(record, arguments, whole))
        worst = [decide(self._policy, principal, operation) for operation in operations]
        lenient = self._policy if whole else self._without_limits_on_others(frozenset(arguments))
        best = [decide(lenient, principal, operation) for operation in operations]
        # A tool that is gone has an operation for each class; an address one for each of its names.
        together = any if record["operation"] == TOOL_CALL else all
        if not together(decision.allowed for decision in best):
            return "deny", _reasons(worst, allowed=False)
        if not all(decision.allowed for decision in worst):
            gone = record["operation"] == TOOL_CALL and len(operations) > 1
            return ON_TOOL if gone else ON_ARGUMENTS, _reasons(worst, allowed=False)
        if not whole and _hangs_on_its_space(worst[0], arguments):
            return ON_ARGUMENTS, ("it is not on record into which space it writes",)
        if still := _token_still_lacks(record, worst[0]):
            return still, (str(record["reason"]),)
        return "allow", _reasons(worst, allowed=True)

    def knows_nothing_of(self, record: Record) -> bool:
        """A refused call of a tool that is not there: no policy would have let it run."""
        gone = record["operation"] == TOOL_CALL and record["name"] not in self._tools
        return gone and record["decision"] == "deny"

    def _arguments(self, record: Record) -> tuple[Mapping[str, Any], bool]:
        """Those that are known, and whether these are all."""
        kept: dict[str, Any] = record.get("args") or {}
        sha256 = record.get("args_sha256")
        if sha256 and sha256 == self._digest(kept):
            return kept, True
        return {name: value for name, value in kept.items() if not _may_be_cut(value)}, False

    def _operations(self, record: Record, arguments: Mapping[str, Any], whole: bool) -> Iterator[Operation]:
        name = str(record["name"])
        if record["operation"] == TOOL_CALL:
            tool = self._tools.get(name)
            schema = tool.schema if tool and whole else {}
            named_only = tool is not None and tool.named_only
            for read_only in (True, False) if tool is None else (tool.read_only,):
                yield call_of(name, read_only, schema, arguments, named_only=named_only)
        elif record["operation"] == "prompts/get" or ":" not in name:
            yield Operation("prompt", name)
        else:
            yield Operation("resource", name)
            for template, pattern in self._templates:
                if pattern.fullmatch(name):
                    yield Operation("resource", template)
                    return

    def _without_limits_on_others(self, known: frozenset[str]) -> Policy:
        """The policy as it is for the best arguments that the record leaves open."""
        if known not in self._lenient:
            rules = (
                replace(rule, limits=tuple(limit for limit in rule.limits if limit.arg in known))
                for rule in self._policy.rules
            )
            self._lenient[known] = replace(self._policy, rules=tuple(rules))
        return self._lenient[known]


def _is_of_the_policy(record: Record) -> bool:
    if record["operation"] not in OPERATIONS:
        return False
    shut_off = str(record.get("reason") or "").endswith(SHUT_OFF)
    return record["decision"] == "allow" or (record["decision"] == "deny" and not shut_off)


def _hangs_on_its_space(decision: Decision, known: Mapping[str, Any]) -> bool:
    argument = SPACE_TO_WRITE.get(decision.operation.name)
    unknown = argument is not None and argument not in known
    return unknown and not (decision.spaces.every or decision.spaces.shared)


def _may_be_cut(value: Any) -> bool:
    if isinstance(value, str | list) and len(value) >= _CUT:
        return True
    return isinstance(value, list) and any(map(_may_be_cut, value))


def _principal(record: Record) -> Principal:
    """Without the token's scopes: a record has none. Its groups are those that the decision knew."""
    kind, who = record["kind"], str(record["principal"])
    if kind == "lan":
        return LAN
    if kind == "service":
        return Principal("service", who, "tunnel")
    groups = frozenset(map(str, record.get("groups") or ()))
    return Principal("person", who, "tunnel", email=who, groups=groups)


def _token_still_lacks(record: Record, decision: Decision) -> Outcome | None:
    """For a call that was refused for its token's scopes alone: whether the token would do now."""
    reason = str(record.get("reason") or "")
    if record["decision"] != "deny" or not reason.startswith(TOKEN_LACKS):
        return None
    lacked = reason.removeprefix(TOKEN_LACKS).split(" or ")
    return "deny" if set(decision.scopes_needed) <= set(lacked) else ON_TOKEN


def _reasons(decisions: list[Decision], *, allowed: bool) -> tuple[str, ...]:
    told = [why for decision in decisions if decision.allowed is allowed for why in decision.reasons]
    return tuple(dict.fromkeys(told))


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"(\{[^}]*\})", template)
    held = [re.escape(one) if not one.startswith("{") else ".+" if "*" in one else "[^/]+" for one in parts]
    return re.compile("".join(held))

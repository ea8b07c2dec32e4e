"""The page at `/`: who somebody is here and what they may use; for an operator also what goes on.

Facts in, HTML or JSON out. Nothing is looked up here, and what is not in the facts is not on the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from app.audit.activity import Activity, PastCall
from app.pages import grants as grants_view
from app.pages import render
from app.pages.connect import Snippet
from app.pages.grants import Grants
from app.principal import Principal

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Applied:
    """A rule that names the visitor; `gives` are scopes, each with its description."""

    rule: str
    reason: str
    gives: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Usable:
    """A tool that the visitor may use. `limits` and `spaces` in words; no `spaces` where it has none."""

    name: str
    title: str
    description: str
    changes: bool
    limits: tuple[str, ...]
    spaces: str


@dataclass(frozen=True, slots=True)
class Address:
    """Where clients connect, by the door that the visitor came in by."""

    url: str
    snippets: tuple[Snippet, ...]
    note: str = ""


class ShutOff(Protocol):
    """An entry of the kill switch. `at` is in seconds."""

    @property
    def target(self) -> str: ...
    @property
    def at(self) -> float: ...
    @property
    def by(self) -> str: ...


@dataclass(frozen=True, slots=True)
class RuleText:
    name: str
    whom: tuple[str, ...]
    gives: tuple[str, ...]
    spaces: str
    limits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PolicyText:
    """The policy in force. `problem`: why a newer file is not. `failing`: in the words of `policy test`."""

    problem: str | None
    lan: tuple[str, ...]
    scopes: tuple[tuple[str, str], ...]
    rules: tuple[RuleText, ...]
    cases: int
    failing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Operator:
    """`activity` and `shut_off` are None where the database does not answer, `key_age` without a key."""

    policy: PolicyText
    activity: Activity | None
    shut_off: Sequence[ShutOff] | None
    audit_healthy: bool
    tunnel: bool
    key_age: float | None


@dataclass(frozen=True, slots=True)
class Home:
    """All facts of the page for one visitor. `hidden` counts tools; `calls` is None without a database."""

    principal: Principal
    request_id: str
    rules: tuple[Applied, ...]
    scopes: tuple[str, ...]
    tools: tuple[Usable, ...]
    hidden: int
    address: Address
    calls: tuple[PastCall, ...] | None
    operator: Operator | None = None
    grants: Grants | None = None  # None: there are none to tell of

    @property
    def forms(self) -> bool:
        return self.grants is not None and self.grants.forms

    @property
    def spaces(self) -> str:
        """Of all tools that have any, where they are the same for all."""
        found = {tool.spaces for tool in self.tools if tool.spaces}
        return found.pop() if len(found) == 1 else ""

    @property
    def message(self) -> str:
        """What a person whom no rule names sends to the operator."""
        who = self.principal
        lines = [f"May I use {self.address.url}?", f"I am {who.email or who.id}."]
        if who.kind == "service":
            lines[1] = f"The service token is {who.id}."
        if who.groups:
            lines.append(f"Access says that I am in: {', '.join(sorted(who.groups))}.")
        return "\n".join(lines)


def html(home: Home) -> str:
    return render(
        "home.html", home=home, who=home.principal, day=day, clock=clock, iso=iso, outcome=outcome, ago=ago
    )


def as_json(home: Home) -> dict[str, Any]:
    """The same for programs; `operator` is there for operators alone."""
    who, operator = home.principal, home.operator
    facts: dict[str, Any] = {
        "principal": who.id,
        "kind": who.kind,
        "door": who.door,
        "client": who.client,
        "groups": sorted(who.groups),
        "groups_complete": who.groups_complete,
        "rules": [
            {"name": one.rule, "reason": one.reason, "scopes": [scope for scope, _ in one.gives]}
            for one in home.rules
        ],
        "scopes": list(home.scopes),
        "tools": [asdict(tool) for tool in home.tools],
        "hidden_tools": home.hidden,
        "connect": {"url": home.address.url, "clients": [asdict(one) for one in home.address.snippets]},
        "calls": None if home.calls is None else [_call(call) for call in home.calls],
    }
    if home.grants is not None:
        facts |= grants_view.as_json(home.grants)
    return facts if operator is None else facts | {"operator": _operator(operator)}


def day(ms: float) -> str:
    return f"{_time(ms):%-d %b %Y}"


def clock(ms: float) -> str:
    return f"{_time(ms):%H:%M:%S}"


def iso(ms: float) -> str:
    return f"{_time(ms):%Y-%m-%dT%H:%M:%SZ}"


def outcome(call: PastCall) -> str:
    """What became of a call, in a word: never why, for that may tell of tools that are not theirs."""
    if call.decision != "allow":
        return "denied"
    return {200: "done", 499: "cancelled"}.get(call.status, f"failed ({call.status})")


def ago(seconds: float) -> str:
    for size, word in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds >= size:
            count = int(seconds // size)
            return f"{count} {word}{'' if count == 1 else 's'} ago"
    return "less than a minute ago"


def _time(ms: float) -> datetime:
    return _EPOCH + timedelta(milliseconds=ms)


def _call(call: PastCall) -> dict[str, Any]:
    return {
        "ts": iso(call.at),
        "operation": call.operation,
        "name": call.name,
        "outcome": outcome(call),
        "request_id": call.request_id,
    }


def _denial(call: PastCall) -> dict[str, Any]:
    return _call(call) | {"door": call.door, "principal": call.principal, "reason": call.reason}


def _operator(operator: Operator) -> dict[str, Any]:
    shut_off = operator.shut_off
    return {
        "policy": asdict(operator.policy),
        "activity": None if operator.activity is None else _activity(operator.activity),
        "shut_off": None
        if shut_off is None
        else [{"target": one.target, "since": iso(one.at * 1000), "by": one.by} for one in shut_off],
        "audit_healthy": operator.audit_healthy,
        "signing_keys_age": operator.key_age,
    }


def _activity(activity: Activity) -> dict[str, Any]:
    return {
        "since": iso(activity.since),
        "whole": activity.whole,
        "seen": [asdict(one) | {"last": iso(one.last)} for one in activity.seen],
        "hours": [asdict(one) | {"start": iso(one.start)} for one in activity.hours],
        "denials": [_denial(call) for call in activity.denials],
        "refusals": [_denial(call) for call in activity.refusals],
    }

"""What somebody changed at Cloudflare, or in the policy without applying it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from app.provision.found import Found, name_of
from app.provision.marks import unmarked
from app.provision.plan import Plan
from app.provision.state import State


@dataclass(frozen=True, slots=True)
class Finding:
    """One object, and what is the matter with it. `kind` is empty for what is in the way of all."""

    kind: str
    name: str
    what: str

    def __str__(self) -> str:
        return " ".join(part for part in (self.kind, unmarked(self.name)) if part) + f": {self.what}"


def findings(plan: Plan, found: Found, state: State) -> tuple[Finding, ...]:
    return tuple(
        dict.fromkeys([*_steps(plan, state), *_tokens(found, state), *_auds(plan, state), *_ways(plan)])
    )


def _steps(plan: Plan, state: State) -> Iterator[Finding]:
    for step in plan.steps:
        known = step.name in state.ids.get(step.kind, {})
        match step.action:
            case "create":
                yield Finding(step.kind, step.name, "gone" if known else "not there yet")
            case "delete":
                yield Finding(step.kind, step.name, step.why)
            case _:
                for difference in step.differences:
                    yield Finding(step.kind, step.name, str(difference))


def _tokens(found: Found, state: State) -> Iterator[Finding]:
    there = {name_of("service-token", token) for token in found.all("service-token")}
    for name in state.ids.get("service-token", {}):
        if name not in there:
            yield Finding("service-token", name, "gone, and its client id with it")


def _auds(plan: Plan, state: State) -> Iterator[Finding]:
    """Who made an application anew gave it another AUD tag: the server takes no assertion for it."""
    if state.auds and plan.auds != state.auds:
        yield Finding(
            "application", state.hostname, "its AUD tag is another; apply, and start the server anew"
        )


def _ways(plan: Plan) -> Iterator[Finding]:
    for conflict in plan.conflicts:
        yield Finding("", "in the way", conflict)

"""The Event: one thing that was decided or refused, in the fields of the audit record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from app.principal import Principal

# The command of a restore that took the audit log, too, from a backup: what came after it is in no chain.
WHOLE_RESTORE = "restore-whole"

DecisionWord = Literal["allow", "deny", "refuse"]


@dataclass(frozen=True, slots=True)
class Event:
    """`operation` is an MCP method or `door`; `name` the tool, URI, prompt or path.

    `decision`: `allow` and `deny` come from the policy, `refuse` from a door, before anybody is known.
    `reason` is one word for metrics, or the policy's reason; never a secret, never an argument's value.
    `args`: JSON of those arguments alone that the operator named (AUDIT_ARGS), strings cut.
    """

    door: str
    operation: str
    name: str
    decision: DecisionWord
    request_id: str = ""
    cf_ray: str = ""
    principal: str = ""
    kind: str = ""
    client: str = ""
    groups: tuple[str, ...] = ()
    args_sha256: str = ""
    args: str = ""
    rules: tuple[str, ...] = ()
    reason: str = ""
    status: int = 200
    ms: float = 0.0


Report = Callable[[Event], None]


def reload_event(what: str, problem: str | None) -> Event:
    """A changed file, of the policy or the upstreams: taken over, or refused because of `problem`."""
    return Event(
        door="",
        operation=f"{what}/reload",
        name=what,
        decision="refuse" if problem else "allow",
        principal="operator",
        reason=f"unusable {problem}" if problem else "",
        status=500 if problem else 200,
    )


def sign_in_event(who: Principal, request_id: str, cf_ray: str) -> Event:
    """The first sight of an assertion of `who`, and the request that it came with."""
    return Event(
        door=who.door,
        operation="sign-in",
        name=who.id,
        decision="allow",
        request_id=request_id,
        cf_ray=cf_ray,
        principal=who.id,
        kind=who.kind,
        groups=tuple(sorted(who.groups)),
    )


def upstream_event(name: str, changes: str, *, withheld: bool) -> Event:
    """Tools or prompts of an upstream are not as they were; `withheld` until the operator accepts them."""
    return Event(
        door="",
        operation="upstream/change",
        name=name,
        decision="refuse" if withheld else "allow",
        principal=f"upstream {name}",
        reason=f"{'withheld ' if withheld else ''}{changes}"[:2000],
        status=403 if withheld else 200,
    )


def command_event(who: str, command: str, name: str, code: int) -> Event:
    """A command of the operator `who` on this machine, and its exit code: 0 when it did what it was told."""
    return Event(
        door="cli",
        operation=f"brain/{command}",
        name=name,
        decision="refuse" if code else "allow",
        principal=who,
        kind="operator",
        reason=f"exit code {code}" if code else "",
        status={0: 200, 2: 400}.get(code, 500),
    )


def lost_event(records: int) -> Event:
    """In the place of records for which there was no room while the log could not be written."""
    return Event(
        door="",
        operation="audit/lost",
        name=f"{records} records",
        decision="refuse",
        reason="lost",
        status=503,
    )

"""The Event: one thing that was decided or refused, in the fields of the audit record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

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

"""The `[[case]]` tables of a policy: what its writer expects, held against the decision itself."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from app.policy.check import Tool
from app.policy.decide import decide
from app.policy.rules import Case, Policy, principal_named


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case, run. `reasons` are the decision's; `got` is `unknown` where no tool has that name."""

    case: Case
    got: Literal["allow", "deny", "unknown"]
    reasons: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.got == self.case.expect


def run_cases(policy: Policy, tools: Iterable[Tool]) -> tuple[CaseResult, ...]:
    """In the order of the file. A case is a call: the defaults of its tool count as given."""
    known = {tool.name: tool for tool in tools}
    return tuple(_run(policy, case, known) for case in policy.cases)


def in_words(result: CaseResult) -> str:
    """One line for a case that holds; one more for each reason why another does not."""
    case = result.case
    who = f"{case.who} in {', '.join(sorted(case.groups))}" if case.groups else case.who
    args = f" {_plain(case.args)}" if case.args else ""
    line = f"{'ok  ' if result.ok else 'FAIL'}  {case.expect:5}  {who}  {case.tool}{args}"
    if result.ok:
        return line
    return "\n".join([f"{line}: is {result.got}", *(f"        because {why}" for why in result.reasons)])


def as_json(result: CaseResult) -> dict[str, Any]:
    case = result.case
    return {
        "as": case.who,
        "groups": sorted(case.groups),
        "tool": case.tool,
        "args": dict(case.args),
        "expected": case.expect,
        "got": result.got,
        "reasons": list(result.reasons),
        "ok": result.ok,
    }


def _run(policy: Policy, case: Case, known: Mapping[str, Tool]) -> CaseResult:
    tool = known.get(case.tool)
    if tool is None:
        close = difflib.get_close_matches(case.tool, known, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return CaseResult(case, "unknown", (f"no tool is named {case.tool}{hint}",))
    principal = principal_named(case.who, case.groups)
    # A case without arguments is about the tool, not about a call that leaves everything out.
    decision = decide(policy, principal, tool.call(case.args or None))
    return CaseResult(case, "allow" if decision.allowed else "deny", decision.reasons)


def _plain(args: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in args.items())

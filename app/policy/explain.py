"""A Decision in words: what `brain policy explain` prints."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.policy.decide import Decision, decide
from app.policy.rules import Policy, Rule
from app.principal import Principal


def explain(policy: Policy, principal: Principal, decision: Decision) -> str:
    """Rule by rule why it applies or not, then the decision that the gate uses."""
    lines = [f"{principal.kind} {principal.id}, {principal.door} door", ""]
    if principal.kind == "lan":
        lines.append(f"  [lan]  scopes = [{', '.join(sorted(policy.lan))}]")
    else:
        lines += [_rule_line(rule, principal) for rule in policy.rules] or ["  (the policy has no rules)"]
    return "\n".join([*lines, "", *_verdict(decision), *_unknown_groups(policy, principal, decision)]) + "\n"


def _rule_line(rule: Rule, principal: Principal) -> str:
    reason = rule.reason(principal)
    if reason is not None:
        return f"  yes  {rule.name}: {reason}; gives {', '.join(sorted(rule.scopes)) or 'nothing'}"
    unknown = ""
    if rule.groups and principal.kind == "person" and not principal.groups_complete:
        unknown = "; whether it is in a group could not be known for certain"
    return f"  no   {rule.name}: {rule.selectors()}{unknown}"


def _verdict(decision: Decision) -> list[str]:
    operation = decision.operation
    title = f"{'ALLOW' if decision.allowed else 'DENY'}  {operation.kind} {operation.name}"
    if not decision.allowed and not decision.scopes_needed:  # shut off, whatever the rules give
        return [title, *(f"  because {reason}" for reason in decision.reasons)]
    lines = [
        title,
        f"  needs   {' or '.join(decision.scopes_needed) or 'nothing'}",
        f"  has     {', '.join(sorted(decision.scopes)) or 'nothing'}",
        *(f"  because {reason}" for reason in decision.reasons),
        *(f"  limit   {limit}" for limit in decision.limits),
    ]
    if decision.allowed and operation.kind == "tool" and operation.name != "whoami":
        lines.append(f"  spaces  {spaces_in_words(decision)}")
    return lines


def _unknown_groups(policy: Policy, principal: Principal, decision: Decision) -> list[str]:
    """What a denial hangs on where it could not be known which groups the person is in."""
    if decision.allowed or principal.kind != "person" or principal.groups_complete:
        return []
    if decide(policy, principal, decision.operation) != decision:
        return []  # it is not the policy that denies it
    named = frozenset[str]().union(*(rule.groups for rule in policy.rules)) - principal.groups
    opening = [
        group
        for group in sorted(named)
        if decide(policy, replace(principal, groups=principal.groups | {group}), decision.operation).allowed
    ]
    return [f"  unknown whether it is in {' or '.join(opening)}: that would allow it"] if opening else []


def spaces_in_words(decision: Decision) -> str:
    if decision.spaces.every:
        return "all"
    named = sorted(decision.spaces.names)
    return ", ".join((["all shared"] if decision.spaces.shared else []) + named) or "none"


def as_json(principal: Principal, decision: Decision) -> dict[str, Any]:
    """The same for programs."""
    return {
        "principal": principal.id,
        "kind": principal.kind,
        "door": principal.door,
        "operation": decision.operation.kind,
        "name": decision.operation.name,
        "decision": "allow" if decision.allowed else "deny",
        "scopes_needed": list(decision.scopes_needed),
        "scopes": sorted(decision.scopes),
        "rules": list(decision.rules),
        "reasons": list(decision.reasons),
        "limits": list(decision.limits),
        "spaces": spaces_in_words(decision),
    }

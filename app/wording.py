"""What a caller is told of a decision about a tool."""

from __future__ import annotations

from fastmcp.tools import Tool

from app.policy.decide import WHOAMI, Decision, Operation


def with_limits(tool: Tool, decision: Decision) -> Tool:
    """The tool as this caller may use it: its limits are told where the model looks."""
    if not decision.limits:
        return tool
    told = "; or ".join(decision.limits)
    return tool.model_copy(update={"description": f"{tool.description or ''}\n\nFor you: {told}.".strip()})


def refusal(decision: Decision, without_arguments: Decision) -> str:
    """A limit is told in full; a tool that is not listed answers like one that is not there."""
    if without_arguments.allowed:
        return f"Not allowed with these arguments: {'; '.join(decision.reasons)}."
    return not_yours(decision.operation.name)


def not_yours(name: str) -> str:
    return f"{name!r} is not a tool that you may use here. Call {WHOAMI} to see which ones are."


def no_such_tool(name: str) -> Decision:
    return Decision(False, Operation("tool", name), (), frozenset(), (), ("no tool of this name",))


def too_long(uri: str) -> Decision:
    return Decision(False, Operation("resource", uri), (), frozenset(), (), ("a URI too long to look up",))

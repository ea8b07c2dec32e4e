"""From what FastMCP lists, or a client asks for, to the Operation that the policy decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastmcp.tools import Tool
from fastmcp.utilities.components import FastMCPComponent

from app.policy.check import Tool as KnownTool
from app.policy.decide import Operation
from app.policy.rules import Kind
from app.upstreams.components import UpstreamPrompt, UpstreamResource, UpstreamTemplate, UpstreamTool

OF_UPSTREAMS = (UpstreamTool, UpstreamResource, UpstreamTemplate, UpstreamPrompt)


def known(tool: Tool) -> KnownTool:
    """What a policy needs to know of `tool`. What a stranger's tool says of itself does not count."""
    named_only = _named_only(tool)
    read_only = not named_only and bool(tool.annotations and tool.annotations.read_only_hint)
    return KnownTool(tool.name, read_only, tool.parameters, named_only)


def of_tool(tool: Tool) -> Operation:
    """Listing `tool`."""
    return known(tool).operation()


def call_of_tool(tool: Tool, arguments: Mapping[str, Any]) -> Operation:
    return known(tool).call(arguments)


def of(kind: Kind, name: str, component: FastMCPComponent | None) -> Operation:
    return Operation(kind, name, named_only=_named_only(component))


def _named_only(component: FastMCPComponent | None) -> bool:
    return isinstance(component, OF_UPSTREAMS) and not component.trusted


def upstream_of(component: FastMCPComponent | None) -> str:
    return component.upstream if isinstance(component, OF_UPSTREAMS) else ""


def completed(message: Any) -> tuple[Kind, str]:
    """What a completion is for: (kind, URI template or prompt name). Unknown shapes name nothing."""
    ref = message.get("ref") if isinstance(message, Mapping) else getattr(message, "ref", None)
    fields = ref if isinstance(ref, Mapping) else getattr(ref, "__dict__", {})
    if fields.get("type") == "ref/prompt":
        return "prompt", str(fields.get("name", ""))
    return "resource", str(fields.get("uri", ""))

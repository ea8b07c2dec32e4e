"""The fixtures that call the client back in the middle of a call (up to 2025-11-25)."""

from __future__ import annotations

from typing import Any

import mcp_types as mt
from fastmcp import Context, FastMCP

CHOICES = ["option1", "option2", "option3"]
TITLED = [{"const": f"value{number}", "title": f"Title {number}"} for number in (1, 2, 3)]


def properties(**fields: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": fields}


DEFAULTS = properties(
    name={"type": "string", "default": "John Doe"},
    age={"type": "integer", "default": 30},
    score={"type": "number", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "default": True},
)
ENUMS = properties(
    untitledSingle={"type": "string", "enum": CHOICES},
    titledSingle={"type": "string", "oneOf": TITLED},
    legacyEnum={"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["Option One", "Option Two"]},
    untitledMulti={"type": "array", "items": {"type": "string", "enum": CHOICES}},
    titledMulti={"type": "array", "items": {"anyOf": TITLED}},
)


def register(server: FastMCP) -> None:
    async def elicited(ctx: Context, message: str, schema: dict[str, Any]) -> str:
        got = await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)
        return f"action={got.action}, content={got.content}"

    @server.tool(description="Asks the client's model.")
    async def test_sampling(ctx: Context, prompt: str) -> str:
        said = mt.SamplingMessage(role="user", content=mt.TextContent(type="text", text=prompt))
        got = await ctx.session.create_message([said], max_tokens=100, related_request_id=ctx.request_id)
        return f"LLM response: {got.content}"

    @server.tool(description="Asks the person at the client.")
    async def test_elicitation(ctx: Context, message: str) -> str:
        fields = properties(username={"type": "string"}, email={"type": "string"})
        return await elicited(ctx, message, fields | {"required": ["username", "email"]})

    @server.tool(description="Asks, with an answer for every question.")
    async def test_elicitation_sep1034_defaults(ctx: Context) -> str:
        return await elicited(ctx, "Please check", DEFAULTS)

    @server.tool(description="Asks, with choices of every kind.")
    async def test_elicitation_sep1330_enums(ctx: Context) -> str:
        return await elicited(ctx, "Please choose", ENUMS)

"""A server with the tools, resources and prompts that the suite asks for by name, to stand behind the doors.

What it answers shows that doors and gate let every kind of content through; it is no part of the Brain.
"""

from __future__ import annotations

import base64
import json
from typing import Annotated, Any

import mcp_types as mt
from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from fastmcp.prompts import Message
from fastmcp.tools import Tool, ToolResult
from mcp.shared.exceptions import MCPError
from pydantic import Field

from app.mcp_server import new_server

from .callbacks import register as register_callbacks
from .rounds import register as register_rounds

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC"
SILENCE = base64.b64encode(
    b"RIFF$\0\0\0WAVEfmt \x10\0\0\0\1\0\1\0@\x1f\0\0@\x1f\0\0\1\0\x08\0data\0\0\0\0"
).decode()


def everything() -> FastMCP:
    """Built like the Brain itself, but with the suite's fixtures."""
    server = new_server()
    register_content(server)
    register_conversations(server)
    register_schemas(server)
    register_resources(server)
    register_prompts(server)
    register_callbacks(server)
    register_rounds(server)
    return server


def embedded(uri: str, mime_type: str, text: str) -> mt.EmbeddedResource:
    resource = mt.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return mt.EmbeddedResource(type="resource", resource=resource)


def register_content(server: FastMCP) -> None:
    """Every kind of content that a tool can answer with."""
    image = mt.ImageContent(type="image", data=PIXEL, mime_type="image/png")
    audio = mt.AudioContent(type="audio", data=SILENCE, mime_type="audio/wav")
    mixed = json.dumps({"test": "data", "value": 123})

    @server.tool(description="Answers with text.")
    async def test_simple_text() -> str:
        return "This is a simple text response for testing."

    @server.tool(description="Answers with an image.")
    async def test_image_content() -> ToolResult:
        return ToolResult(content=[image])

    @server.tool(description="Answers with sound.")
    async def test_audio_content() -> ToolResult:
        return ToolResult(content=[audio])

    @server.tool(description="Answers with a resource.")
    async def test_embedded_resource() -> ToolResult:
        text = "This is an embedded resource content."
        return ToolResult(content=[embedded("test://embedded-resource", "text/plain", text)])

    @server.tool(description="Answers with text, an image and a resource.")
    async def test_multiple_content_types() -> ToolResult:
        text = mt.TextContent(type="text", text="Multiple content types test:")
        json_file = embedded("test://mixed-content-resource", "application/json", mixed)
        return ToolResult(content=[text, image, json_file])

    @server.tool(description="Fails, always.")
    async def test_error_handling() -> str:
        raise ToolError("This tool intentionally returns an error for testing")


def register_conversations(server: FastMCP) -> None:
    """Tools that say something before they answer, or that need the client to be able to do something."""

    @server.tool(description="Logs three times while it runs.")
    async def test_tool_with_logging(ctx: Context) -> str:
        for message in ("Tool execution started", "Tool processing data", "Tool execution completed"):
            await ctx.info(message)
        return "Logged three times."

    @server.tool(description="Reports its progress three times while it runs.")
    async def test_tool_with_progress(ctx: Context) -> str:
        for progress in (0, 50, 100):
            await ctx.report_progress(progress, 100)
        return "Reported three times."

    @server.tool(description="Changes the list of tools.")
    async def test_trigger_tool_change(ctx: Context) -> str:
        await ctx.send_notification(mt.ToolListChangedNotification())
        return "Changed."

    @server.tool(description="Changes the list of prompts.")
    async def test_trigger_prompt_change(ctx: Context) -> str:
        await ctx.send_notification(mt.PromptListChangedNotification())
        return "Changed."

    @server.tool(description="Needs a client that can sample.")
    async def test_missing_capability(ctx: Context) -> str:
        capabilities = ctx.session.client_capabilities
        if capabilities is None or capabilities.sampling is None:
            needed = mt.MissingRequiredClientCapabilityErrorData(
                required_capabilities=mt.ClientCapabilities(sampling=mt.SamplingCapability())
            )
            data = needed.model_dump(by_alias=True, exclude_none=True)
            raise MCPError(mt.MISSING_REQUIRED_CLIENT_CAPABILITY, "Sampling is needed.", data)
        return "This client can sample."


def register_schemas(server: FastMCP) -> None:
    """Input schemas that have to arrive at the client as they are written here."""

    @server.tool(description="Has an argument that is also sent as a header.")
    async def test_header_argument(
        region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})],
    ) -> str:
        return f"Region: {region}"

    server.add_tool(
        SchemaTool(
            name="json_schema_2020_12_tool",
            description="Tool with JSON Schema 2020-12 features",
            parameters=SCHEMA_2020_12,
        )
    )


class SchemaTool(Tool):
    """A tool with a schema that no Python signature gives."""

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        return ToolResult(content=json.dumps(arguments))


SCHEMA_2020_12: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def register_resources(server: FastMCP) -> None:
    @server.resource("test://static-text", mime_type="text/plain", description="Text.")
    async def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png", description="An image.")
    async def static_binary() -> bytes:
        return base64.b64decode(PIXEL)

    @server.resource("test://watched-resource", mime_type="text/plain", description="Text to watch.")
    async def watched() -> str:
        return "Nothing has changed."

    @server.resource("test://template/{id}/data", mime_type="application/json", description="By id.")
    async def by_id(id: str) -> str:
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})


def register_prompts(server: FastMCP) -> None:
    @server.prompt(description="Takes no arguments.")
    async def test_simple_prompt() -> str:
        return "This is a simple prompt for testing."

    @server.prompt(description="Takes two arguments.")
    async def test_prompt_with_arguments(
        arg1: Annotated[str, Field(description="First test argument")],
        arg2: Annotated[str, Field(description="Second test argument")],
    ) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt(description="Has a resource in it.")
    async def test_prompt_with_embedded_resource(
        resourceUri: Annotated[str, Field(description="The resource to embed")],
    ) -> list[Message]:
        file = embedded(resourceUri, "text/plain", "Embedded resource content for testing.")
        return [Message(file), Message("Please process the embedded resource above.")]

    @server.prompt(description="Has an image in it.")
    async def test_prompt_with_image() -> list[Message]:
        image = mt.ImageContent(type="image", data=PIXEL, mime_type="image/png")
        return [Message(image), Message("Please analyze the image above.")]

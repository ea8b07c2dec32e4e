"""The tools, resources and prompts of upstreams as FastMCP knows them. They hold no policy of their own."""

from __future__ import annotations

import json
from typing import Any

import mcp_types as mt
from fastmcp.exceptions import ResourceError
from fastmcp.prompts import Prompt
from fastmcp.prompts.base import PromptArgument, PromptResult
from fastmcp.resources import Resource, ResourceResult, ResourceTemplate
from fastmcp.tools import Tool
from fastmcp.utilities.json_schema import is_object_schema
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import PrivateAttr

from app.upstreams.asking import Asking
from app.upstreams.behind import Behind
from app.upstreams.listing import Definition
from app.upstreams.templates import Shape, normal

_OBJECT = {"type": "object"}


class UpstreamTool(Tool):
    """`trusted`: what it says of itself counts for the built-in scopes.

    It is called by `call` alone; FastMCP cannot run it.
    """

    upstream: str
    trusted: bool
    _behind: Behind = PrivateAttr()
    _there: str = PrivateAttr()
    _by_headers: bool = PrivateAttr()

    @property
    def by_headers(self) -> bool:
        """Some of its arguments have to be in headers, too (2026-07-28, `x-mcp-header`)."""
        return self._by_headers

    async def call(self, asked: mt.CallToolRequestParams, context: Asking) -> dict[str, Any]:
        """The result on the wire. Raises ToolError."""
        answer = await self._behind.call(self._there, asked, context)
        structured = answer.get("structuredContent")
        if structured is None or context.protocol_version in MODERN_PROTOCOL_VERSIONS:
            return answer
        if isinstance(structured, dict) and is_object_schema(self.output_schema or _OBJECT):
            return answer
        # FastMCP lists it to older clients as an object with one `result`, and tells its own so.
        wrapped = {"structuredContent": {"result": structured}, "_meta": {"fastmcp": {"wrap_result": True}}}
        return {**answer, **wrapped}


class UpstreamResource(Resource):
    upstream: str
    trusted: bool
    _behind: Behind = PrivateAttr()
    _there: str = PrivateAttr()
    _typed: bool = PrivateAttr()  # else `mime_type` is FastMCP's guess

    async def read(self) -> ResourceResult:
        return await self._behind.read(self._there, str(self.uri))

    def to_mcp_resource(self, **overrides: Any) -> mt.Resource:
        return super().to_mcp_resource(**overrides, **({} if self._typed else {"mimeType": None}))


class UpstreamTemplate(ResourceTemplate):
    upstream: str
    trusted: bool
    _behind: Behind = PrivateAttr()
    _shape: Shape = PrivateAttr()
    _typed: bool = PrivateAttr()

    def to_mcp_template(self, **overrides: Any) -> mt.ResourceTemplate:
        return super().to_mcp_template(**overrides, **({} if self._typed else {"mimeType": None}))

    def fits(self, address: str) -> bool:
        """`address`: a URI in its normal form."""
        return self._shape.fits(address)

    def matches(self, uri: str) -> dict[str, Any] | None:
        """No values: the upstream takes the URI apart by itself."""
        return {} if self.fits(normal(uri)) else None

    async def _read(self, uri: str, params: dict[str, Any]) -> ResourceResult:
        """What an address means is for the upstream to say, so it is passed on as it was sent."""
        there = self._behind.names.uri_there(uri)
        if there is None:
            raise ResourceError(f"Unknown resource: {uri!r}")
        return await self._behind.read(there, uri)


class UpstreamPrompt(Prompt):
    upstream: str
    trusted: bool
    _behind: Behind = PrivateAttr()
    _there: str = PrivateAttr()

    async def render(self, arguments: dict[str, Any] | None = None) -> PromptResult:
        return await self._behind.get(self._there, arguments)


def tool(behind: Behind, one: Definition) -> UpstreamTool:
    made = UpstreamTool(
        **_common(behind, one),
        name=behind.names.name(one["name"]),
        parameters=dict(one.get("inputSchema") or {"type": "object"}),
        output_schema=one.get("outputSchema"),
        annotations=mt.ToolAnnotations.model_validate(one["annotations"]) if "annotations" in one else None,
    )
    made._behind, made._there = behind, one["name"]
    made._by_headers = "x-mcp-header" in json.dumps(made.parameters, default=str)
    return made


def resource(behind: Behind, one: Definition) -> UpstreamResource:
    made = UpstreamResource(
        **_common(behind, one),
        uri=behind.names.resource(one["uri"]),
        name=one.get("name") or one["uri"],
        mime_type=one.get("mimeType"),
    )
    made._behind, made._there, made._typed = behind, one["uri"], bool(one.get("mimeType"))
    return made


def template(behind: Behind, one: Definition) -> UpstreamTemplate:
    made = UpstreamTemplate(
        **_common(behind, one),
        uri_template=behind.names.uri(one["uriTemplate"]),
        name=one.get("name") or one["uriTemplate"],
        mime_type=one.get("mimeType"),
        parameters={},
        security=None,
    )
    made._behind, made._typed = behind, bool(one.get("mimeType"))
    made._shape = Shape(made.uri_template)
    return made


def prompt(behind: Behind, one: Definition) -> UpstreamPrompt:
    made = UpstreamPrompt(
        **_common(behind, one),
        name=behind.names.name(one["name"]),
        arguments=[PromptArgument.model_validate(argument) for argument in one.get("arguments") or ()],
    )
    made._behind, made._there = behind, one["name"]
    return made


def _common(behind: Behind, one: Definition) -> dict[str, Any]:
    return {
        "upstream": behind.entry.name,
        "trusted": behind.entry.trust_annotations,
        "title": one.get("title"),
        "description": one.get("description"),
    }

"""The tools, resources and prompts of upstreams as FastMCP knows them. They hold no policy of their own."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable
from typing import Any

import mcp_types as mt
from fastmcp.exceptions import PromptError, ResourceError, ToolError
from fastmcp.prompts import Message, Prompt
from fastmcp.prompts.base import InputRequiredPromptResult, PromptArgument, PromptResult
from fastmcp.resources import Resource, ResourceContent, ResourceResult, ResourceTemplate
from fastmcp.resources.base import InputRequiredResourceResult
from fastmcp.server.dependencies import get_context
from fastmcp.tools import Tool, ToolResult
from fastmcp.tools.base import InputRequiredToolResult, RawStructuredToolResult
from mcp.shared.dispatcher import ProgressFnT
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import PrivateAttr, TypeAdapter

from app.errors import AppError
from app.progress import telling
from app.upstreams.entries import Entry
from app.upstreams.listing import Definition
from app.upstreams.names import Names
from app.upstreams.upstream import Upstream

Told = Callable[[Entry], str | None]  # what an upstream is told of the caller: a JWT, or nothing

PRINCIPAL_HEADER = "X-Brain-Principal"
PRINCIPAL_META = "brain-mcp/principal"  # in `_meta`, where there are no headers
_CALLED: TypeAdapter[Any] = TypeAdapter(mt.CallToolResult | mt.InputRequiredResult)
_READ: TypeAdapter[Any] = TypeAdapter(mt.ReadResourceResult | mt.InputRequiredResult)
_GOT: TypeAdapter[Any] = TypeAdapter(mt.GetPromptResult | mt.InputRequiredResult)


class Behind:
    """One upstream as its components call it."""

    def __init__(self, upstream: Upstream, told: Told) -> None:
        self.upstream, self._told = upstream, told
        self.entry = upstream.entry
        self.names = Names(upstream.entry)

    async def call(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        responses, state = _continued()
        params = mt.CallToolRequestParams(
            name=name, arguments=arguments, input_responses=responses, request_state=state, _meta=self._meta()
        )
        answer = await self._ask(mt.CallToolRequest(params=params), _CALLED, ToolError)
        if isinstance(answer, mt.InputRequiredResult):
            return InputRequiredToolResult(_askable(answer, ToolError))
        content = [self._block(block) for block in answer.content]
        structured, failed = answer.structured_content, bool(answer.is_error)
        if structured is not None and not isinstance(structured, dict):
            return RawStructuredToolResult(content, structured, is_error=failed)
        return ToolResult(content=content, structured_content=structured, is_error=failed)

    async def read(self, uri: str) -> ResourceResult:
        responses, state = _continued()
        params = mt.ReadResourceRequestParams(
            uri=uri, input_responses=responses, request_state=state, _meta=self._meta()
        )
        answer = await self._ask(mt.ReadResourceRequest(params=params), _READ, ResourceError)
        if isinstance(answer, mt.InputRequiredResult):
            return InputRequiredResourceResult(_askable(answer, ResourceError))
        return ResourceResult([_content(one) for one in answer.contents])

    async def get(self, name: str, arguments: dict[str, Any] | None) -> PromptResult:
        responses, state = _continued()
        texts = None if arguments is None else {key: str(value) for key, value in arguments.items()}
        params = mt.GetPromptRequestParams(
            name=name, arguments=texts, input_responses=responses, request_state=state, _meta=self._meta()
        )
        answer = await self._ask(mt.GetPromptRequest(params=params), _GOT, PromptError)
        if isinstance(answer, mt.InputRequiredResult):
            return InputRequiredPromptResult(_askable(answer, PromptError))
        messages = [Message(self._block(one.content), one.role) for one in answer.messages]
        return PromptResult(messages, description=answer.description)

    async def complete(
        self, ref: Any, argument: mt.CompletionArgument, context: mt.CompletionContext | None
    ) -> mt.Completion:
        """Nothing at all where the upstream cannot say."""
        params = mt.CompleteRequestParams(ref=ref, argument=argument, context=context, _meta=self._meta())
        try:
            answer = await self.upstream.ask(
                mt.CompleteRequest(params=params), mt.CompleteResult, headers=self._headers()
            )
        except AppError:
            return mt.Completion(values=[])
        return answer.completion

    async def _ask(self, request: Any, result: TypeAdapter[Any], error: type[Exception]) -> Any:
        try:
            return await self.upstream.ask(request, result, progress=_progress(), headers=self._headers())
        except AppError as problem:
            raise error(problem.public, log_level=logging.DEBUG) from problem  # type: ignore[call-arg]

    def _headers(self) -> dict[str, str]:
        told = self._told(self.entry) if self.entry.kind == "url" else None
        return {} if told is None else {PRINCIPAL_HEADER: told}

    def _meta(self) -> Any:
        told = self._told(self.entry) if self.entry.kind != "url" else None
        return None if told is None else {PRINCIPAL_META: told}

    def _block(self, block: Any) -> Any:
        """A link to one of its resources leads to where that resource is here."""
        if isinstance(block, mt.ResourceLink):
            return block.model_copy(update={"uri": self.names.uri(str(block.uri))})
        return block


class UpstreamTool(Tool):
    """`trusted`: what it says of itself counts for the built-in scopes."""

    upstream: str
    trusted: bool
    _behind: Behind = PrivateAttr()
    _there: str = PrivateAttr()

    async def run(self, arguments: dict[str, Any]) -> ToolResult:
        return await self._behind.call(self._there, arguments)


class UpstreamResource(Resource):
    upstream: str
    trusted: bool
    _behind: Behind = PrivateAttr()
    _there: str = PrivateAttr()

    async def read(self) -> ResourceResult:
        return await self._behind.read(self._there)


class UpstreamTemplate(ResourceTemplate):
    upstream: str
    trusted: bool
    _behind: Behind = PrivateAttr()

    async def _read(self, uri: str, params: dict[str, Any]) -> ResourceResult:
        """What an address means is for the upstream to say, so it is passed on as it was sent."""
        there = self._behind.names.uri_there(uri)
        if there is None:
            raise ResourceError(f"Unknown resource: {uri!r}")
        return await self._behind.read(there)


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
    return made


def resource(behind: Behind, one: Definition) -> UpstreamResource:
    made = UpstreamResource(
        **_common(behind, one),
        uri=behind.names.uri(one["uri"]),
        name=one.get("name") or one["uri"],
        mime_type=one.get("mimeType") or "text/plain",
    )
    made._behind, made._there = behind, one["uri"]
    return made


def template(behind: Behind, one: Definition) -> UpstreamTemplate:
    made = UpstreamTemplate(
        **_common(behind, one),
        uri_template=behind.names.uri(one["uriTemplate"]),
        name=one.get("name") or one["uriTemplate"],
        mime_type=one.get("mimeType") or "text/plain",
        parameters={},
        security=None,
    )
    made._behind = behind
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


def _progress() -> ProgressFnT | None:
    """Tells the client that asks now, if it wants to be told. Called later, from another context."""
    context = get_context()
    asked = context.request_context
    meta = None if asked is None else asked.meta
    token = None if meta is None else meta.get("progress_token", meta.get("progressToken"))
    if token is None:
        return None
    session, request_id, tell = context.session, context.request_id, telling.get()

    async def report(progress: float, total: float | None, message: str | None) -> None:
        if tell is not None:
            said = {"progressToken": token, "progress": progress, "total": total, "message": message}
            params = {name: value for name, value in said.items() if value is not None}
            await tell({"jsonrpc": "2.0", "method": "notifications/progress", "params": params})
            return
        await session.send_progress_notification(
            progress_token=token,
            progress=progress,
            total=total,
            message=message,
            related_request_id=request_id,
        )

    return report


def _continued() -> tuple[Any, str | None]:
    """What the client answered to a question of the upstream's, and the state that goes with it."""
    context = get_context()
    return context.input_responses, context.request_state


def _askable(question: mt.InputRequiredResult, error: type[Exception]) -> mt.InputRequiredResult:
    context = get_context().request_context
    version = None if context is None else getattr(context, "protocol_version", None)
    if version is not None and version not in MODERN_PROTOCOL_VERSIONS:
        raise error("This needs an answer in between, and the protocol of your client has none.")
    return question


def _content(one: mt.TextResourceContents | mt.BlobResourceContents) -> ResourceContent:
    if isinstance(one, mt.TextResourceContents):
        return ResourceContent(one.text, mime_type=one.mime_type)
    return ResourceContent(base64.b64decode(one.blob), mime_type=one.mime_type)

"""One upstream as its components call it: asked in their words, answered in names as they are here."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import mcp_types as mt
from fastmcp.exceptions import PromptError, ResourceError, ToolError
from fastmcp.prompts import Message
from fastmcp.prompts.base import InputRequiredPromptResult, PromptResult
from fastmcp.resources import ResourceResult
from fastmcp.resources.base import InputRequiredResourceResult
from fastmcp.server.dependencies import get_context
from pydantic import PrivateAttr, TypeAdapter

from app.errors import AppError
from app.upstreams import questions
from app.upstreams.asking import Asking, not_older, progress
from app.upstreams.entries import Entry
from app.upstreams.listing import NOTHING, Listing
from app.upstreams.names import Names
from app.upstreams.questions import Question, R
from app.upstreams.templates import Beginnings
from app.upstreams.upstream import Upstream

Told = Callable[[Entry], str | None]  # what an upstream is told of the caller: a JWT, or nothing

PRINCIPAL_HEADER = "X-Brain-Principal"
PRINCIPAL_META = "brain-mcp/principal"  # in `_meta`, where there are no headers
_Part = mt.TextResourceContents | mt.BlobResourceContents
_READ: TypeAdapter[Any] = TypeAdapter(mt.ReadResourceResult | mt.InputRequiredResult)
_GOT: TypeAdapter[Any] = TypeAdapter(mt.GetPromptResult | mt.InputRequiredResult)


class Behind:
    """One upstream as its components call it."""

    def __init__(self, upstream: Upstream, told: Told) -> None:
        self.upstream, self._told = upstream, told
        self.entry = upstream.entry
        self.names = Names(upstream.entry)
        self._beginnings: tuple[Listing, Beginnings] = (NOTHING, Beginnings(()))

    async def call(self, name: str, asked: mt.CallToolRequestParams, context: Asking) -> dict[str, Any]:
        """The result as the newest protocol has it, checked."""
        params = {"name": name, "arguments": asked.arguments or {}, **_answers(asked)}
        if (meta := self._meta()) is not None:
            params["_meta"] = meta
        answer: dict[str, Any] = await self._ask(questions.call(params), ToolError, context)
        if answer["resultType"] == "input_required":
            not_older(context, ToolError)
            return answer
        return {
            "content": [self._raw_block(block) for block in answer["content"]],
            "structuredContent": answer.get("structuredContent"),
            "isError": answer["isError"],
            "resultType": "complete",
        }

    async def read(self, there: str, here: str) -> ResourceResult:
        """`here`: the URI by which it was asked for."""
        responses, state = _continued()
        params = mt.ReadResourceRequestParams(
            uri=there, input_responses=responses, request_state=state, _meta=self._meta()
        )
        context = get_context().request_context
        answer = await self._ask(
            questions.request(mt.ReadResourceRequest(params=params), _READ), ResourceError, context
        )
        if isinstance(answer, mt.InputRequiredResult):
            not_older(context, ResourceError)
            return InputRequiredResourceResult(answer)
        named = [(one, here if one.uri == there else self._here(one.uri)) for one in answer.contents]
        return _Read([one.model_copy(update={"uri": uri}) for one, uri in named])

    async def get(self, name: str, arguments: dict[str, Any] | None) -> PromptResult:
        responses, state = _continued()
        texts = None if arguments is None else {key: str(value) for key, value in arguments.items()}
        params = mt.GetPromptRequestParams(
            name=name, arguments=texts, input_responses=responses, request_state=state, _meta=self._meta()
        )
        context = get_context().request_context
        answer = await self._ask(
            questions.request(mt.GetPromptRequest(params=params), _GOT), PromptError, context
        )
        if isinstance(answer, mt.InputRequiredResult):
            not_older(context, PromptError)
            return InputRequiredPromptResult(answer)
        messages = [Message(self._block(one.content), one.role) for one in answer.messages]
        return PromptResult(messages, description=answer.description)

    async def complete(
        self, ref: Any, argument: mt.CompletionArgument, context: mt.CompletionContext | None
    ) -> mt.Completion:
        """Nothing at all where the upstream cannot say."""
        params = mt.CompleteRequestParams(ref=ref, argument=argument, context=context, _meta=self._meta())
        try:
            question = questions.request(mt.CompleteRequest(params=params), mt.CompleteResult)
            answer = await self.upstream.ask(question, headers=self._headers())
        except AppError:
            return mt.Completion(values=[])
        return answer.completion

    async def _ask(self, question: Question[R], error: type[Exception], context: Any) -> R:
        try:
            return await self.upstream.ask(question, progress=progress(context), headers=self._headers())
        except AppError as problem:
            raise error(problem.public, log_level=logging.DEBUG) from problem  # type: ignore[call-arg]

    def _headers(self) -> dict[str, str]:
        told = self._told(self.entry) if self.entry.kind == "url" else None
        return {} if told is None else {PRINCIPAL_HEADER: told}

    def _meta(self) -> Any:
        told = self._told(self.entry) if self.entry.kind != "url" else None
        return None if told is None else {PRINCIPAL_META: told}

    def _block(self, block: Any) -> Any:
        if isinstance(block, mt.ResourceLink):
            return block.model_copy(update={"uri": self._here(str(block.uri))})
        if isinstance(block, mt.EmbeddedResource):
            inner = block.resource.model_copy(update={"uri": self._here(str(block.resource.uri))})
            return block.model_copy(update={"resource": inner})
        return block

    def _raw_block(self, block: dict[str, Any]) -> dict[str, Any]:
        if block["type"] == "resource_link":
            return {**block, "uri": self._here(block["uri"])}
        if block["type"] == "resource":
            inner = block["resource"]
            return {**block, "resource": {**inner, "uri": self._here(inner["uri"])}}
        return block

    def _here(self, uri: str) -> str:
        """Where a resource of its is here. What means the same for everybody, such as a web page or a mail
        address, stays what it is unless it is listed as a resource, or begins like a template.

        A result has as many URIs as its upstream likes, so each is done with at once."""
        listing = self.upstream.visible()
        if uri in listing.resources:
            return self.names.resource(uri) or uri
        scheme, slashes, _ = uri.partition("://")  # which may stand further behind, in a mail address
        its_own = bool(slashes) and ":" not in scheme and scheme.lower() not in ("http", "https")
        fits = its_own or self._beginnings_of(listing).fit(uri)
        return (self.names.uri(uri) or uri) if fits else uri

    def _beginnings_of(self, listing: Listing) -> Beginnings:
        if self._beginnings[0] is not listing:
            served = [one for one in listing.templates if self.names.uri(one) is not None]
            self._beginnings = (listing, Beginnings(served))
        return self._beginnings[1]


class _Read(ResourceResult):
    """The parts of a resource as they are for the wire. FastMCP's own, in `contents`, could not say which
    URI each has, nor that the type of one is unknown."""

    _parts: list[_Part] = PrivateAttr()

    def __init__(self, parts: list[_Part]) -> None:
        super().__init__([])
        self._parts = parts

    def to_mcp_result(self, uri: object) -> mt.ReadResourceResult:
        return mt.ReadResourceResult(contents=self._parts)


def _continued() -> tuple[Any, str | None]:
    """What the client answered to a question of the upstream's, and the state that goes with it."""
    context = get_context()
    return context.input_responses, context.request_state


def _answers(asked: mt.CallToolRequestParams) -> dict[str, Any]:
    """The same, of a call."""
    if asked.input_responses is None and asked.request_state is None:
        return {}
    parts = {"input_responses", "request_state"}
    return asked.model_dump(include=parts, mode="json", by_alias=True, exclude_none=True)

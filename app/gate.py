"""The only enforcement point: every MCP list and call is decided here, by the one `decide`, and reported.

It stands in FastMCP's own chain, so every transport and every protocol version passes it. A call that does
not go through that chain (app/straight.py) goes through the same `call`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, TypeVar

import mcp_types as mt
from fastmcp import FastMCP
from fastmcp.exceptions import FastMCPError, NotFoundError, ToolError
from fastmcp.prompts import Prompt
from fastmcp.prompts.base import PromptResult
from fastmcp.resources import Resource, ResourceTemplate
from fastmcp.resources.base import ResourceResult
from fastmcp.server.middleware import CallNext, Middleware, MiddlewareContext
from fastmcp.tools import Tool, ToolResult
from fastmcp.utilities.components import FastMCPComponent
from typing_extensions import TypedDict

from app.audit.log import AuditUnavailable
from app.audit.recorder import Call, Recorder, Request
from app.errors import AppError
from app.notes.models import Caller
from app.operations import call_of_tool, completed, of, of_tool, upstream_of
from app.policy.decide import Decision, Operation, ceiling, decide, effective_scopes
from app.policy.denies import Denies
from app.policy.rules import Kind, Policy
from app.principal import Principal
from app.upstreams.components import UpstreamTool
from app.upstreams.templates import LONGEST_URI
from app.upstreams.url_first import error_of
from app.validation import told
from app.wording import no_such_tool, not_yours, refusal, too_long, with_limits


class Whoami(TypedDict):
    """The answer of `whoami`."""

    principal: str
    kind: str
    door: str
    client: str | None
    scopes: list[str]
    tools: list[str]
    rules: list[str]
    why: str


T = TypeVar("T")
_decision: ContextVar[tuple[Principal, Decision]] = ContextVar("decision")


class Gate(Middleware):
    """`request` says who asks now; `policy` and `denies` are those in force now.

    For clients with a token of ours: `step_up` makes the answer that asks for consent to the scopes it is
    given; `lists_ceiling` shows what consent could open (a client never asks for what it has not seen).
    """

    def __init__(
        self,
        mcp: FastMCP,
        *,
        request: Callable[[], Request],
        policy: Callable[[], Policy],
        denies: Callable[[], Denies],
        recorder: Recorder,
        step_up: Callable[[Sequence[str]], AppError] | None = None,
        lists_ceiling: bool = True,
    ) -> None:
        self._step_up, self._lists_ceiling = step_up, lists_ceiling
        self._mcp, self._request, self._policy = mcp, request, policy
        self._denies, self._recorder = denies, recorder
        self._tools: dict[str, Tool] = {}

    @property
    def request_id(self) -> str:
        """Of the request that is served now, in which no other has any part; "" on stdio."""
        return self._request().request_id

    def caller(self) -> Caller:
        """Who works on notes in this call, and in which spaces. For the tools, inside a decided call."""
        principal, decision = _decision.get()
        return Caller(principal.id, principal.own_space, decision.spaces, principal.client)

    async def whoami(self) -> Whoami:
        """The caller as the policy sees it."""
        principal, policy = self._request().principal, self._policy()
        granted = ceiling(policy, principal)
        tools = await self._mcp.list_tools(run_middleware=False)
        may_use = [tool.name for tool in tools if self._decide(of_tool(tool)).allowed]
        why = "; ".join(f"{m.rule}: {m.reason}" for m in granted.matches)
        return Whoami(
            principal=principal.id,
            kind=principal.kind,
            door=principal.door,
            client=principal.client,
            scopes=sorted(effective_scopes(policy, principal)),
            tools=may_use,
            rules=[match.rule for match in granted.matches],
            why=why or "no rule of the policy names you; ask the operator of this server to add one",
        )

    async def on_list_tools(
        self, context: MiddlewareContext[mt.ListToolsRequest], call_next: CallNext[Any, Sequence[Tool]]
    ) -> Sequence[Tool]:
        looker = self._looker()
        decided = [(tool, self._decide(of_tool(tool), looker)) for tool in await call_next(context)]
        return [with_limits(tool, decision) for tool, decision in decided if decision.allowed]

    async def on_list_resources(
        self,
        context: MiddlewareContext[mt.ListResourcesRequest],
        call_next: CallNext[Any, Sequence[Resource]],
    ) -> Sequence[Resource]:
        looker = self._looker()
        return [r for r in await call_next(context) if self._may(looker, "resource", str(r.uri), r)]

    async def on_list_resource_templates(
        self,
        context: MiddlewareContext[mt.ListResourceTemplatesRequest],
        call_next: CallNext[Any, Sequence[ResourceTemplate]],
    ) -> Sequence[ResourceTemplate]:
        looker = self._looker()
        return [t for t in await call_next(context) if self._may(looker, "resource", t.uri_template, t)]

    async def on_list_prompts(
        self, context: MiddlewareContext[mt.ListPromptsRequest], call_next: CallNext[Any, Sequence[Prompt]]
    ) -> Sequence[Prompt]:
        looker = self._looker()
        return [p for p in await call_next(context) if self._may(looker, "prompt", p.name, p)]

    async def on_call_tool(
        self, context: MiddlewareContext[mt.CallToolRequestParams], call_next: CallNext[Any, ToolResult]
    ) -> ToolResult:
        name = context.message.name
        tool, arguments = await self.tool(name), context.message.arguments or {}
        return await self.call(name, tool, arguments, lambda: told(call_next(context)))

    async def call(
        self, name: str, tool: Tool | None, arguments: Mapping[str, Any], work: Callable[[], Awaitable[T]]
    ) -> T:
        """What `work` returns, if whoever asks now may call the tool; on record in any case.

        Raises ToolError, also for a tool that is not there.
        """
        if tool is None:
            await self._denied(Call("tools/call", name, no_such_tool(name), arguments))
            raise ToolError(not_yours(name), log_level=logging.DEBUG)
        operation = call_of_tool(tool, arguments)
        decision = self._decide(operation)
        changes = not operation.read_only
        call = Call("tools/call", name, decision, arguments, changes=changes, upstream=upstream_of(tool))
        if not decision.allowed:
            await self._denied(call)
            self._ask_for_consent(decision, self._decide(operation, self._consented()))
            raise ToolError(refusal(decision, self._decide(of_tool(tool))), log_level=logging.DEBUG)
        return await self._run(call, work)

    async def tool(self, name: str) -> Tool | None:
        """The tool, for its class and its arguments' defaults; own tools never change while we run."""
        known = self._tools.get(name)
        if known is None:
            known = await self._mcp.get_tool(name)
            if known is not None and not isinstance(known, UpstreamTool):
                self._tools[name] = known
        return known

    async def on_read_resource(
        self,
        context: MiddlewareContext[mt.ReadResourceRequestParams],
        call_next: CallNext[Any, ResourceResult],
    ) -> ResourceResult:
        uri = str(context.message.uri)
        decision, upstream = await self._decide_resource(uri)
        call = Call("resources/read", uri, decision, upstream=upstream)
        if not decision.allowed:
            await self._denied(call)
            self._ask_for_consent(decision, (await self._decide_resource(uri, self._consented()))[0])
            raise NotFoundError(f"Unknown resource: {uri!r}")  # exactly like a missing one
        return await self._run(call, lambda: call_next(context))

    async def on_get_prompt(
        self, context: MiddlewareContext[mt.GetPromptRequestParams], call_next: CallNext[Any, PromptResult]
    ) -> PromptResult:
        name = context.message.name
        decision, upstream = await self._decide_prompt(name)
        call = Call("prompts/get", name, decision, upstream=upstream)
        if not decision.allowed:
            await self._denied(call)
            self._ask_for_consent(decision, (await self._decide_prompt(name, self._consented()))[0])
            raise NotFoundError(f"Unknown prompt: {name!r}")
        return await self._run(call, lambda: call_next(context))

    async def on_request(self, context: MiddlewareContext[Any], call_next: CallNext[Any, Any]) -> Any:
        if context.method != "completion/complete":
            return await call_next(context)
        kind, name = completed(context.message)
        decided = self._decide_resource if kind == "resource" else self._decide_prompt
        decision, upstream = await decided(name)
        call = Call("completion/complete", name, decision, upstream=upstream)
        if not decision.allowed:
            await self._denied(call)
            self._ask_for_consent(decision, (await decided(name, self._consented()))[0])
            # Asked for as a name that nothing has: the answer is a missing one's, in every version.
            nothing = {**context.message, "ref": {"type": "ref/prompt", "name": ""}}
            return await call_next(context.copy(message=nothing))
        return await self._run(call, lambda: call_next(context))

    def _decide(self, operation: Operation, principal: Principal | None = None) -> Decision:
        """For whoever asks now, or for `principal`."""
        return decide(self._policy(), principal or self._request().principal, operation, self._denies())

    async def _decide_resource(self, uri: str, principal: Principal | None = None) -> tuple[Decision, str]:
        """By its own name, and by the template's that would answer: what is listed decides.

        With the name of the upstream that has it, or "". What is too long is looked for nowhere: strangers
        must not decide how long that takes.
        """
        if len(uri) > LONGEST_URI:
            return too_long(uri), ""
        resource = await self._mcp.get_resource(uri)
        if resource is not None:
            return self._decide(of("resource", uri, resource), principal), upstream_of(resource)
        template = await self._mcp.get_resource_template(uri)
        if template is None:
            return self._decide(Operation("resource", uri), principal), ""
        upstream = upstream_of(template)
        by_template = self._decide(of("resource", template.uri_template, template), principal)
        decision = self._decide(of("resource", uri, template), principal)
        if not decision.scopes_needed and by_template.scopes_needed:
            return by_template, upstream  # of an upstream: it is the template that a scope names
        if not (decision.allowed and by_template.allowed):
            return by_template if decision.allowed else decision, upstream
        return replace(decision, spaces=decision.spaces & by_template.spaces), upstream

    async def _decide_prompt(self, name: str, principal: Principal | None = None) -> tuple[Decision, str]:
        prompt = await self._mcp.get_prompt(name)
        return self._decide(of("prompt", name, prompt), principal), upstream_of(prompt)

    def _may(self, looker: Principal, kind: Kind, name: str, component: FastMCPComponent) -> bool:
        return self._decide(of(kind, name, component), looker).allowed

    def _consented(self) -> Principal:
        """Whoever asks now, as if they had consented to everything they can: at their ceiling."""
        principal = self._request().principal
        return principal if principal.token_scopes is None else replace(principal, token_scopes=None)

    def _looker(self) -> Principal:
        """For whom lists are made."""
        return self._consented() if self._lists_ceiling else self._request().principal

    def _ask_for_consent(self, decision: Decision, consented: Decision) -> None:
        """403 with the scopes to ask for, if with them this very operation would be allowed.

        Never for what the ceiling does not have: the client would ask, get nothing, and ask again.
        """
        if self._step_up is None or not decision.consent_would_help or not consented.allowed:
            return
        granted = consented.scopes
        self._request().answer(self._step_up([s for s in decision.scopes_needed if s in granted]))

    async def _run(self, call: Call, work: Callable[[], Awaitable[T]]) -> T:
        mark = _decision.set((self._request().principal, call.decision))
        try:
            return await self._recorder.run(call, work)
        except AuditUnavailable as unavailable:
            raise self._unavailable(unavailable) from unavailable
        except FastMCPError as refused:  # FastMCP would keep its words alone
            if (error := error_of(refused)) is None:
                raise
            raise error from refused
        finally:
            _decision.reset(mark)

    async def _denied(self, call: Call) -> None:
        try:
            await self._recorder.denied(call)
        except AuditUnavailable as unavailable:
            raise self._unavailable(unavailable) from unavailable

    def _unavailable(self, unavailable: AuditUnavailable) -> ToolError:
        """503 over HTTP; the sentence alone where there is no HTTP answer to replace."""
        self._request().answer(unavailable)
        return ToolError(unavailable.public, log_level=logging.DEBUG)

"""The fixtures that answer with a question first (`input_required`, from 2026-07-28 on)."""

from __future__ import annotations

from typing import Any

import mcp_types as mt
from fastmcp import Context, FastMCP

Asked = mt.InputRequiredResult | str


def form(message: str, field: str, kind: str = "string") -> mt.ElicitRequest:
    schema: dict[str, Any] = {"type": "object", "properties": {field: {"type": kind}}, "required": [field]}
    return mt.ElicitRequest(params=mt.ElicitRequestFormParams(message=message, requested_schema=schema))


def sample(prompt: str, max_tokens: int = 100) -> mt.CreateMessageRequest:
    said = mt.SamplingMessage(role="user", content=mt.TextContent(type="text", text=prompt))
    return mt.CreateMessageRequest(
        params=mt.CreateMessageRequestParams(messages=[said], max_tokens=max_tokens)
    )


def ask(state: str | None = None, /, **questions: mt.InputRequest) -> mt.InputRequiredResult:
    return mt.InputRequiredResult(input_requests=questions, request_state=state)


def answers(ctx: Context, *names: str) -> dict[str, mt.InputResponse] | None:
    """The answers of these names, None unless all are there."""
    given = ctx.input_responses or {}
    return {name: given[name] for name in names} if all(name in given for name in names) else None


def field(answer: mt.InputResponse, name: str) -> object:
    """What was filled in, None where it was not."""
    content = answer.content if isinstance(answer, mt.ElicitResult) else None
    return (content or {}).get(name)


def register(server: FastMCP) -> None:
    register_single(server)
    register_with_state(server)

    @server.prompt(description="Asks what it is about before it answers.")
    async def test_input_required_result_prompt(ctx: Context) -> Asked:
        got = answers(ctx, "user_context")
        if got is None:
            return ask(user_context=form("What context should the prompt use?", "context"))
        return f"Context: {field(got['user_context'], 'context')}"


def register_single(server: FastMCP) -> None:
    """One question, nothing to remember."""

    @server.tool(description="Asks for a name.", output_schema=None)
    async def test_input_required_result_elicitation(ctx: Context) -> Asked:
        got = answers(ctx, "user_name")
        name = field(got["user_name"], "name") if got else None
        return f"Hello, {name}!" if name else ask(user_name=form("What is your name?", "name"))

    @server.tool(description="Asks the client's model.", output_schema=None)
    async def test_input_required_result_sampling(ctx: Context) -> Asked:
        got = answers(ctx, "capital_question")
        if got is None:
            return ask(capital_question=sample("What is the capital of France?"))
        return f"The model said: {got['capital_question']}"

    @server.tool(description="Asks for the client's folders.", output_schema=None)
    async def test_input_required_result_list_roots(ctx: Context) -> Asked:
        got = answers(ctx, "client_roots")
        if got is None:
            return ask(client_roots=mt.ListRootsRequest())
        roots = got["client_roots"]
        assert isinstance(roots, mt.ListRootsResult)
        return "Folders: " + ", ".join(str(root.uri) for root in roots.roots)

    @server.tool(description="Asks only what the client can answer.", output_schema=None)
    async def test_input_required_result_capabilities(ctx: Context) -> Asked:
        able = ctx.session.client_capabilities or mt.ClientCapabilities()
        questions: dict[str, mt.InputRequest] = {}
        if able.sampling is not None:
            questions["by_model"] = sample("Say hello.")
        if able.elicitation is not None:
            questions["by_person"] = form("Say hello.", "hello")
        if answers(ctx, *questions) is not None:
            return "Asked and answered."
        return ask(None, **questions)


def register_with_state(server: FastMCP) -> None:
    """Questions that come back with the state that the server sealed."""

    @server.tool(description="Asks, and knows the question again.", output_schema=None)
    async def test_input_required_result_request_state(ctx: Context) -> Asked:
        if answers(ctx, "confirm") is None or ctx.request_state != "asked":
            return ask("asked", confirm=form("Please confirm", "ok", "boolean"))
        return "state-ok"

    @server.tool(description="Asks, and notices a changed state.", output_schema=None)
    async def test_input_required_result_tampered_state(ctx: Context) -> Asked:
        if answers(ctx, "confirm") is None or ctx.request_state != "asked":
            return ask("asked", confirm=form("Please confirm", "ok", "boolean"))
        return "state-ok"

    @server.tool(description="Asks three things at once.", output_schema=None)
    async def test_input_required_result_multiple_inputs(ctx: Context) -> Asked:
        got = answers(ctx, "user_name", "greeting", "client_roots")
        if got is None:
            return ask(
                "asked",
                user_name=form("What is your name?", "name"),
                greeting=sample("Generate a greeting", 50),
                client_roots=mt.ListRootsRequest(),
            )
        return f"Three answers, {field(got['user_name'], 'name')}."

    @server.tool(description="Asks twice, one thing after the other.", output_schema=None)
    async def test_input_required_result_multi_round(ctx: Context) -> Asked:
        first, second = answers(ctx, "step1"), answers(ctx, "step2")
        if ctx.request_state is None or (first is None and second is None):
            return ask("1", step1=form("Step 1: What is your name?", "name"))
        if first is not None:
            name = field(first["step1"], "name")
            return ask(f"2 {name}", step2=form("Step 2: What is your favorite color?", "color"))
        assert second is not None
        return f"{ctx.request_state[2:]} likes {field(second['step2'], 'color')}."

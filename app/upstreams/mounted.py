"""All upstreams as one provider of FastMCP: lists from memory, look-ups in a table, no upstream asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import mcp_types as mt
from fastmcp.prompts import Prompt
from fastmcp.resources import Resource, ResourceTemplate
from fastmcp.server.completions import CompletionHandler, CompletionReference, CompletionValues
from fastmcp.server.providers import Provider
from fastmcp.tools import Tool
from fastmcp.utilities.versions import VersionSpec

from app.upstreams import components
from app.upstreams.behind import Behind, Told
from app.upstreams.components import UpstreamPrompt, UpstreamResource, UpstreamTemplate, UpstreamTool
from app.upstreams.listing import KEYS, Definition, Listing
from app.upstreams.templates import normal
from app.upstreams.upstream import Upstream

log = logging.getLogger("brain.upstreams")

C = TypeVar("C", UpstreamTool, UpstreamResource, UpstreamTemplate, UpstreamPrompt)


class Mounted(Provider):
    """`taken`: names of tools that are somebody else's already; whoever comes later does not get them."""

    def __init__(self, told: Told, taken: Callable[[str], bool]) -> None:
        super().__init__()
        self._told, self._taken = told, taken
        self._behind: tuple[Behind, ...] = ()
        self._made_of: tuple[tuple[Behind, Listing], ...] = ()
        self._tools: dict[str, UpstreamTool] = {}
        self._resources: dict[str, UpstreamResource] = {}
        self._templates: dict[str, UpstreamTemplate] = {}
        self._prompts: dict[str, UpstreamPrompt] = {}
        self._said: dict[tuple[str, str], list[str]] = {}

    def show(self, upstreams: Iterable[Upstream]) -> None:
        """These from now on, and no others."""
        before = {behind.upstream: behind for behind in self._behind}
        self._behind = tuple(before.get(one) or Behind(one, self._told) for one in upstreams)

    def tool(self, name: str) -> UpstreamTool | None:
        self._look()
        return self._tools.get(name)

    def completions(self, others: CompletionHandler | None) -> CompletionHandler:
        """What an upstream has is completed by it; `others` complete the rest."""

        async def handler(
            ref: CompletionReference, argument: mt.CompletionArgument, context: mt.CompletionContext | None
        ) -> CompletionValues:
            self._look()
            if isinstance(ref, mt.PromptReference):
                if (prompt := self._prompts.get(ref.name)) is not None:
                    there = ref.model_copy(update={"name": prompt._there})
                    return await prompt._behind.complete(there, argument, context)
            elif (template := self._templates.get(ref.uri)) is not None:
                uri = template._behind.names.uri_there(ref.uri)
                return await template._behind.complete(ref.model_copy(update={"uri": uri}), argument, context)
            answer: Any = None if others is None else others(ref, argument, context)
            values: CompletionValues = await answer if hasattr(answer, "__await__") else answer
            return values

        return handler

    async def _list_tools(self) -> Sequence[Tool]:
        self._look()
        return list(self._tools.values())

    async def _get_tool(self, name: str, version: VersionSpec | None = None) -> Tool | None:
        return self.tool(name)

    async def _list_resources(self) -> Sequence[Resource]:
        self._look()
        return list(self._resources.values())

    async def _get_resource(self, uri: str, version: VersionSpec | None = None) -> Resource | None:
        self._look()
        return self._resources.get(uri)

    async def _list_resource_templates(self) -> Sequence[ResourceTemplate]:
        self._look()
        return list(self._templates.values())

    async def _get_resource_template(
        self, uri: str, version: VersionSpec | None = None
    ) -> ResourceTemplate | None:
        self._look()
        address = normal(uri)
        return next((one for one in self._templates.values() if one.fits(address)), None)

    async def _list_prompts(self) -> Sequence[Prompt]:
        self._look()
        return list(self._prompts.values())

    async def _get_prompt(self, name: str, version: VersionSpec | None = None) -> Prompt | None:
        self._look()
        return self._prompts.get(name)

    def _look(self) -> None:
        """Makes the components anew for what an upstream lists anew."""
        now = tuple((behind, behind.upstream.visible()) for behind in self._behind)
        if len(now) == len(self._made_of) and all(map(_same, now, self._made_of)):
            return
        self._made_of = now
        self._tools = self._of("tools", components.tool, lambda one: one.name, self._taken)
        self._prompts = self._of("prompts", components.prompt, lambda one: one.name)
        self._resources = self._of("resources", components.resource, lambda one: str(one.uri))
        self._templates = self._of("templates", components.template, lambda one: one.uri_template)

    def _of(
        self,
        kind: str,
        make: Callable[[Behind, Definition], C],
        key: Callable[[C], str],
        taken: Callable[[str], bool] = lambda _: False,
    ) -> dict[str, C]:
        found: dict[str, C] = {}
        for behind, listing in self._made_of:
            left_out = []
            for one in getattr(listing, kind).values():
                try:
                    made = make(behind, one)
                except ValueError:  # pydantic: what it says of itself is no tool, prompt or resource
                    left_out.append(one[KEYS[kind]])
                    continue
                if taken(key(made)) or key(made) in found:
                    left_out.append(key(made))
                else:
                    found[key(made)] = made
            self._say(behind.entry.name, kind, left_out)
        return found

    def _say(self, upstream: str, kind: str, left_out: list[str]) -> None:
        """Once, not again for whatever else is listed anew."""
        if left_out and self._said.get((upstream, kind)) != left_out:
            named = ", ".join(left_out[:20])
            log.warning(
                "upstream %s: %s left out, their names are taken or unusable: %s", upstream, kind, named
            )
        self._said[upstream, kind] = left_out


def _same(one: tuple[Behind, Listing], other: tuple[Behind, Listing]) -> bool:
    return one[0] is other[0] and one[1] is other[1]

"""What a person does with a client that has to log in, told once for every client."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from .browser import READ, Consent
from .place import Place

STEPS = (
    "register",
    "login",
    "list",
    "search",
    "step-up",
    "refresh",
    "revoke",
    "log in again",
)


@dataclass(frozen=True)
class Answer:
    error: bool
    text: str


class Session(Protocol):
    """A client, whichever it is. Connecting is part of its first call."""

    async def tools(self) -> Sequence[str]: ...

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> Answer:
        """Raises whatever the client raises when it gives up."""
        ...

    async def time_passes(self) -> None:
        """What the client's own clock has to know of an expired token; the server's knows already."""
        ...

    async def revoke(self) -> bool:
        """Sends the client's refresh token to /revoke; False where the client keeps it to itself."""
        ...

    def consents(self) -> list[Consent]:
        """What the person was asked on behalf of this client."""
        ...


@dataclass
class Told:
    """What became of each step: `ok …` or why not."""

    steps: dict[str, str] = field(default_factory=dict)

    @property
    def good(self) -> bool:
        return all(not said.startswith("FAILS") for said in self.steps.values())


async def live(place: Place, session: Session, *, can_step_up: bool = True, full: bool = False) -> Told:
    """The whole story; a step that fails does not end it unless nothing can follow.

    `full`: the server asks for all scopes at the first login, so that there is nothing to step up to.
    """
    told = Told()
    story = _Story(place, session, can_step_up, full)
    for step in STEPS:
        act: Callable[[], Awaitable[str]] = getattr(story, step.replace(" ", "_").replace("-", "_"))
        try:
            told.steps[step] = await act()
        except Exception as problem:
            told.steps[step] = f"FAILS: {type(problem).__name__}: {problem}"[:600]
            if step in ("register", "login"):
                break
    return told


class _Story:
    def __init__(self, place: Place, session: Session, can_step_up: bool, full: bool) -> None:
        self.place, self.session, self.can_step_up, self.full = place, session, can_step_up, full
        self.listed: Sequence[str] = ()

    async def register(self) -> str:
        self.listed = await self.session.tools()
        seen = self.place.wire.seen
        assert seen.count("POST /register 201") == 1, seen
        read = [line.split()[1] for line in seen if "/.well-known/" in line and line.endswith(" 200")]
        assert any("protected-resource" in path for path in read), seen
        return "ok, DCR"

    async def login(self) -> str:
        [consent] = self.session.consents()
        assert consent.ticked == (consent.offered if self.full else (READ,)), consent
        assert self.place.count("POST /token 200") == 1
        return f"ok, asked for {short(consent.offered)}"

    async def list(self) -> str:
        assert {"search", "create_note", "delete_note"} <= set(self.listed), self.listed
        return f"ok, {len(self.listed)} tools"

    async def search(self) -> str:
        answer = await self.session.call("search", {"query": "anything"})
        assert not answer.error, answer.text
        return "ok"

    async def step_up(self) -> str:
        before = len(self.session.consents())
        call = self.session.call("create_note", {"title": "Stepped up", "text": "With consent."})
        if self.full:
            answer = await call
            assert not answer.error, answer.text
            assert len(self.session.consents()) == before
            return "ok, not needed"
        if not self.can_step_up:
            try:
                answer = await call
            except Exception as problem:
                assert self.place.count("POST /mcp 403"), self.place.wire.seen[-8:]
                return f"no: {problem}"[:110]
            assert answer.error, "it did step up"
            return f"no: {answer.text}"[:110]
        answer = await call
        assert not answer.error, answer.text
        assert self.place.count("POST /mcp 403") >= 1, self.place.wire.seen
        [consent] = self.session.consents()[before:]
        grants = json.loads(await self.place.operator("oauth", "grants", "--json"))
        assert any({READ, "mcp:tools:write"} <= set(grant["scopes"]) for grant in grants), grants
        return f"ok, asked for {short(consent.offered)}"

    async def refresh(self) -> str:
        consents, tokens = len(self.session.consents()), self.place.count("POST /token 200")
        self.place.expire()
        await self.session.time_passes()
        answer = await self.session.call("search", {"query": "anything"})
        assert not answer.error, answer.text
        assert len(self.session.consents()) == consents, "the person was asked again"
        assert self.place.count("POST /token 200") == tokens + 1, self.place.wire.seen[-8:]
        return "ok, nobody asked"

    async def revoke(self) -> str:
        if await self.session.revoke():
            assert self.place.count("POST /revoke 200") == 1
            return "ok, at /revoke"
        for grant in json.loads(await self.place.operator("oauth", "grants", "--json")):
            await self.place.operator("oauth", "revoke", grant["id"])
        return "ok, by the operator"

    async def log_in_again(self) -> str:
        consents, refused = len(self.session.consents()), self.place.count("POST /mcp 401")
        answer = await self.session.call("search", {"query": "anything"})
        assert not answer.error, answer.text
        assert self.place.count("POST /mcp 401") > refused, "the revoked token was still good"
        assert len(self.session.consents()) == consents + 1, "nobody was asked"
        return "ok, asked again"


def short(scopes: Sequence[str]) -> str:
    return "+".join(scope.rpartition(":")[2] for scope in scopes)

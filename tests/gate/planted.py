"""Notes in many spaces whose every word is a marker, and somebody who asks and whose answers are searched."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from app.notes.models import Spaces
from app.notes.tools import NOTE_URI, REVISION_URI
from app.policy.decide import Operation, decide
from app.policy.rules import Policy, principal_named
from tests.house import NIGHTLY, TestHouse

from .wire import Caller

VERSIONS = ("2025-11-25", "2026-07-28")
ALICE, BOB, KIM = "alice@example.com", "bob@example.com", "kim@firm.example"
PEOPLE = (ALICE, BOB, KIM, NIGHTLY)
SPACES = ("main", "public", "hr", "lab", f"~{ALICE}", f"~{BOB}")
MISSING = "01900000-0000-7000-8000-000000000000"
LISTS = ("search", "list_notes", "list_tags", "list_spaces")
OWN_TOOLS = ("search", "fetch", "list_*", "note_history", "delete_note")


@dataclass
class Planted:
    """A note and what would give it away. `quoted`: notes of other spaces may name its title."""

    space: str
    id: str
    title: str
    words: tuple[str, ...]
    quoted: bool
    live: bool

    def traces(self, *, texts: bool) -> tuple[str, ...]:
        """What must not be in an answer; `texts`: it may hold the text of other notes."""
        return (self.id, *self.words, *(() if self.quoted and texts else (self.title,)))


@dataclass
class Spaced:
    """A house with notes in many spaces."""

    house: TestHouse
    notes: list[Planted] = field(default_factory=list)
    count: int = 0

    def caller(self, who: str, version: str) -> Caller:
        if who == "lan":
            return Caller(self.house, version, None)
        team = self.house.team
        return Caller(self.house, version, team.token(who) if "@" in who else team.service_token(who))

    async def lan(self, tool: str, **arguments: Any) -> Any:
        answer = (await self.caller("lan", VERSIONS[-1]).call(tool, **arguments))["result"]
        assert not answer.get("isError"), answer
        return answer["structuredContent"]

    def word(self, what: str) -> str:
        self.count += 1
        return f"zq{self.count:04d}{what}"

    async def plant(
        self, space: str, links: tuple[str, ...] = (), *, title: str = "", live: bool = True
    ) -> Planted:
        """With two earlier revisions, whose words are given up, and a tag of its own."""
        words = [self.word(what) for what in ("tag", "early", "past", "text")]
        tag, early, past, text = words
        quoted, title = bool(title), title or self.word("title")
        made = await self.lan("create_note", title=early, text=past, tags=[tag], space=space)
        body = " ".join(["common", text, *(f"[[{link}]]" for link in links)])
        changed = {"title": title, "text": body, "tags": [tag, "everywhere"]}
        await self.lan("update_note", id=made["id"], version=1, **changed)
        await self.lan("append_note", id=made["id"], text="end")
        if not live:
            await self.lan("delete_note", id=made["id"])
        note = Planted(space, made["id"], title, tuple(words), quoted, live)
        self.notes.append(note)
        return note


space_lists = st.lists(st.sampled_from(["*", "~", *SPACES]), max_size=2, unique=True)
selectors: st.SearchStrategy[dict[str, object]] = st.sampled_from(
    [
        {"any_person": True},
        {"emails": [ALICE]},
        {"domains": ["example.com", "firm.example"]},
        {"service_tokens": [NIGHTLY], "emails": [BOB]},
    ]
)
scope_lists = st.sampled_from([["mcp:tools:read"], ["mcp:tools:write"], ["own"], ["*"]])


@st.composite
def policies(draw: st.DrawFn) -> str:
    lines = ["version = 1", "[scopes.own]"]
    lines.append(f"tools = {json.dumps(draw(st.lists(st.sampled_from(OWN_TOOLS), max_size=2)))}")
    lines.append(f"resources = {json.dumps([draw(st.sampled_from([NOTE_URI, 'note://*', 'x://y']))])}")
    for _ in range(draw(st.integers(1, 4))):
        fields = draw(selectors) | {"scopes": draw(scope_lists), "spaces": draw(space_lists)}
        lines += ["[[rule]]", *(f"{name} = {json.dumps(value)}" for name, value in fields.items())]
    return "\n".join(lines)


@dataclass
class Asked:
    """Somebody under a policy, what they may see by each tool, and what they were told."""

    spaced: Spaced
    policy: Policy
    who: str
    caller: Caller

    def spaces(self, kind: Any, *names: str) -> Spaces:
        """What is open to them by this; for an address by each name that decides it."""
        principal = principal_named(self.who)
        spaces = Spaces(every=True)
        for name in names:
            read_only = name in (*LISTS, "fetch", "note_history")
            decision = decide(self.policy, principal, Operation(kind, name, read_only))
            spaces = spaces & (decision.spaces if decision.allowed else Spaces())
        return spaces

    async def told(self, kind: Any, *names: str, texts: bool = False, asked: str = "", answer: Any) -> str:
        """The answer as it was sent, after a look for every closed note in it. `asked`: what it may echo."""
        raw = json.dumps(answer, ensure_ascii=False)
        spaces = self.spaces(kind, *names)
        for note in self.spaced.notes:
            if not spaces.includes(note.space):
                for trace in note.traces(texts=texts):
                    assert trace not in raw or trace in asked, (names, trace, raw)
        return raw

    async def tool(self, name: str, *, texts: bool = False, **arguments: Any) -> str:
        answer = await self.caller.call(name, **arguments)
        return await self.told("tool", name, texts=texts, asked=json.dumps(arguments), answer=answer)

    async def read(self, uri: str) -> str:
        template = REVISION_URI if "/revisions/" in uri else NOTE_URI
        answer = await self.caller.ask("resources/read", uri=uri)
        return await self.told("resource", uri, template, texts=True, asked=uri, answer=answer)

    async def complete(self, template: str, argument: str, value: str, **context: Any) -> str:
        answer = await self.caller.ask(
            "completion/complete",
            ref={"type": "ref/resource", "uri": template},
            argument={"name": argument, "value": value},
            **context,
        )
        return await self.told("resource", template, answer=answer)


async def walk(asked: Asked, tool: str, **arguments: Any) -> list[str]:
    """All pages of one note each, cursors and all."""
    pages: list[str] = []
    cursor = None
    while len(pages) < 40:
        pages.append(await asked.tool(tool, texts=tool == "search", limit=1, cursor=cursor, **arguments))
        content = json.loads(pages[-1]).get("result", {}).get("structuredContent", {})
        if (cursor := content.get("next_cursor")) is None:
            return pages
    raise AssertionError("the walk has no end")


async def everything_told(asked: Asked) -> list[str]:
    """All lists there are, and every open note with all that hangs on it."""
    told = [page for query in ("common", "", "-nothing") for page in await walk(asked, "search", query=query)]
    for order in ("updated", "created", "title"):
        told += await walk(asked, "list_notes", order=order, tag="everywhere")
    told += [await asked.tool(tool) for tool in ("list_tags", "list_spaces", "whoami")]
    told += [await asked.complete(NOTE_URI, "id", value) for value in ("", "0", "common")]
    for note in asked.spaced.notes:
        if asked.spaces("tool", "fetch").includes(note.space):
            told.append(await asked.tool("fetch", texts=True, id=note.id))
        if asked.spaces("tool", "note_history").includes(note.space):
            told.append(await asked.tool("note_history", id=note.id))
        if asked.spaces("resource", f"note://{note.id}", NOTE_URI).includes(note.space):
            told.append(await asked.read(f"note://{note.id}"))
    return told


async def probes(asked: Asked, note_id: str) -> list[tuple[str, str]]:
    """(by what, answer) of everything that takes the id of a note."""
    change: dict[str, dict[str, Any]] = {
        "fetch": {},
        "note_history": {},
        "update_note": {"version": 1, "title": "x"},
        "append_note": {"text": "x"},
        "delete_note": {},
        "restore_note": {},
    }
    told = [(tool, await asked.tool(tool, id=note_id, **more)) for tool, more in change.items()]
    told.append(("update_note", await asked.tool("update_note", id=note_id, version=3)))
    for uri in (f"note://{note_id}", *(f"note://{note_id}/revisions/{n}" for n in (0, 1, 3, 9))):
        told.append((uri, await asked.read(uri)))
    context = {"context": {"arguments": {"id": note_id}}}
    told.append((REVISION_URI, await asked.complete(REVISION_URI, "version", "", **context)))
    told.append((NOTE_URI, await asked.complete(NOTE_URI, "id", note_id)))
    return told


def is_closed(asked: Asked, by: str, note: Planted) -> bool:
    if not by.startswith("note://"):
        return not asked.spaces("tool", by).includes(note.space)
    template = REVISION_URI if "/revisions/" in by else NOTE_URI
    return not asked.spaces("resource", by, template).includes(note.space)

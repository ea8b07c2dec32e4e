"""A space that is not open to somebody is not there: no title, tag, id, number or count of it in any answer.

On the wire, at both doors, for random rules, against notes whose every word is a marker.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.notes.models import Spaces
from app.notes.tools import NOTE_URI, REVISION_URI
from app.policy.decide import Operation, decide
from app.policy.parse import parse
from app.policy.rules import Policy, principal_named
from app.simulator import SigningKey
from tests.house import NIGHTLY, Clock, TestHouse, in_one_task, new_team, open_house

from .wire import Caller

pytestmark = pytest.mark.asyncio(loop_scope="module")

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


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def spaced(
    tmp_path_factory: pytest.TempPathFactory, signing_keys: tuple[SigningKey, ...]
) -> AsyncIterator[Spaced]:
    """In each space: a note that links and is linked everywhere, one linked, one that links, one gone."""
    clock = Clock()
    team = new_team(clock, (signing_keys[0], signing_keys[1]))
    async with in_one_task(open_house(tmp_path_factory.mktemp("spaces"), clock, team)) as house:
        all_of_it = Spaced(house)
        linked = {space: all_of_it.word("linked") for space in SPACES}
        hubs = {space: all_of_it.word("hub") for space in SPACES}
        for space in SPACES:
            await all_of_it.plant(space, (*linked.values(), *hubs.values()), title=hubs[space])
            await all_of_it.plant(space, tuple(hubs.values()), title=linked[space])
            await all_of_it.plant(space, (*linked.values(), *hubs.values()))
            await all_of_it.plant(space, tuple(hubs.values()), live=False)
        yield all_of_it


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


async def prepare(spaced: Spaced, text: str, who: str, version: str) -> Asked:
    spaced.house.write_policy(text)
    return Asked(spaced, parse(text), who, spaced.caller(who, version))


few = settings(max_examples=4, deadline=None, phases=[Phase.reuse, Phase.generate])


@pytest.mark.parametrize("version", VERSIONS)
@few
@given(policies(), st.sampled_from(PEOPLE))
async def test_nothing_of_a_closed_space_is_in_any_answer(
    spaced: Spaced, version: str, text: str, who: str
) -> None:
    asked = await prepare(spaced, text, who, version)
    await everything_told(asked)
    await walk(asked, "search", query="zq*")
    by_tag, by_space = asked.spaces("tool", "list_tags"), asked.spaces("tool", "list_spaces")
    answer = json.loads(await asked.tool("list_tags"))["result"]
    if not answer.get("isError"):
        counts = {tag["name"]: tag["notes"] for tag in answer["structuredContent"]["tags"]}
        open_notes = [note for note in spaced.notes if note.live and by_tag.includes(note.space)]
        assert counts.pop("everywhere", 0) == len(open_notes)
        assert counts == {note.words[0]: 1 for note in open_notes}
    answer = json.loads(await asked.tool("list_spaces"))["result"]
    if not answer.get("isError"):
        named = {one["name"]: one["notes"] for one in answer["structuredContent"]["spaces"]}
        own = principal_named(who).own_space
        assert named == {
            "~" if space == own else space: sum(n.live for n in spaced.notes if n.space == space)
            for space in {*SPACES, *by_space.names}
            if by_space.includes(space)
        }


@pytest.mark.parametrize("version", VERSIONS)
@few
@given(policies(), st.sampled_from(PEOPLE), st.data())
async def test_a_closed_note_answers_like_one_that_is_not_there(
    spaced: Spaced, version: str, text: str, who: str, data: st.DataObject
) -> None:
    asked = await prepare(spaced, text, who, version)
    closed = [n for n in spaced.notes if not asked.spaces("tool", "fetch").includes(n.space)]
    if not closed:
        return
    missing = await probes(asked, MISSING)
    for note in data.draw(st.lists(st.sampled_from(closed), min_size=1, max_size=2)):
        # What is open by another tool is changed by it: only what is closed by all of them is asked for.
        if not all(is_closed(asked, by.replace(MISSING, note.id), note) for by, _ in missing):
            continue
        told = await probes(asked, note.id)
        for (_, answer), (by, expected) in zip(told, missing, strict=True):
            assert answer.replace(note.id, MISSING) == expected, by


@pytest.mark.parametrize("version", VERSIONS)
@few
@given(policies(), st.sampled_from(PEOPLE), st.data())
async def test_words_tags_and_names_of_a_closed_space_find_what_nonsense_finds(
    spaced: Spaced, version: str, text: str, who: str, data: st.DataObject
) -> None:
    asked = await prepare(spaced, text, who, version)
    spaces = asked.spaces("tool", "search") & asked.spaces("tool", "list_notes")
    closed = [n for n in spaced.notes if not asked.spaces("tool", "search").includes(n.space)]
    if not closed:
        return
    note = data.draw(st.sampled_from(closed))
    for word in (note.title, *note.words):
        if note.quoted and word == note.title:
            continue
        for form in ("{}", '"{}"', "{}*", "tag:{}", "-{} zqnonsense", "{} common"):
            told = await asked.tool("search", query=form.format(word))
            assert told == await asked.tool("search", query=form.format("zqnonsense"))
    assert await asked.complete(NOTE_URI, "id", note.words[-1]) == await asked.complete(
        NOTE_URI, "id", "zqnonsense"
    ) or asked.spaces("resource", NOTE_URI).includes(note.space)
    if spaces.includes(note.space) or note.space == principal_named(who).own_space:
        return
    in_space: dict[str, dict[str, Any]] = {"search": {"query": ""}, "list_notes": {}, "list_tags": {}}
    for tool, more in in_space.items():
        if not asked.spaces("tool", tool).includes(note.space):
            told = await asked.tool(tool, space=note.space, **more)
            nowhere = "~nobody@example.com" if note.space.startswith("~") else "nowhere"
            if not asked.spaces("tool", tool).includes(nowhere):
                assert told == await asked.tool(tool, space=nowhere, **more)
    if not asked.spaces("tool", "create_note").includes(note.space):
        told = await asked.tool("create_note", title="x", text="x", space=note.space)
        assert '"isError": true' in told
        nowhere = "~nobody@example.com" if note.space.startswith("~") else "nowhere"
        if not asked.spaces("tool", "create_note").includes(nowhere):
            assert told == await asked.tool("create_note", title="x", text="x", space=nowhere)


@pytest.mark.parametrize("version", VERSIONS)
@few
@given(policies(), st.sampled_from(PEOPLE), st.data())
async def test_what_happens_in_a_closed_space_changes_no_byte_of_any_answer(
    spaced: Spaced, version: str, text: str, who: str, data: st.DataObject
) -> None:
    """Neither scores nor cursors nor counts are made of notes that the asker may not see.

    The order of hits alone may be: it weighs words by all notes.
    """
    asked = await prepare(spaced, text, who, version)
    by = [asked.spaces("tool", tool) for tool in (*LISTS, "fetch", "note_history")]
    by.append(asked.spaces("resource", NOTE_URI))
    closed = [space for space in SPACES if not any(spaces.includes(space) for spaces in by)]
    if not closed:
        return
    before = await everything_told(asked)
    titles = tuple(note.title for note in spaced.notes if note.quoted)
    await spaced.plant(data.draw(st.sampled_from(closed)), titles, live=data.draw(st.booleans()))
    assert await everything_told(asked) == before


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_address_opens_only_what_its_template_opens_too(spaced: Spaced, version: str) -> None:
    text = """version = 1
[scopes.own]
resources = ["note://{id}"]
[[rule]]
name = "all"
any_person = true
scopes = ["mcp:tools:read"]
[[rule]]
name = "few"
any_person = true
scopes = ["own"]
spaces = ["public"]
"""
    asked = await prepare(spaced, text, ALICE, version)
    missing = await asked.read(f"note://{MISSING}")
    for note in spaced.notes:
        answer = await asked.read(f"note://{note.id}")
        assert (answer.replace(note.id, MISSING) == missing) is (note.space != "public")


@pytest.mark.parametrize("version", VERSIONS)
async def test_at_the_lan_door_every_note_is_found_by_what_would_give_it_away(
    spaced: Spaced, version: str
) -> None:
    """So that the markers are known to be where they are looked for."""
    spaced.house.write_policy("version = 1\n")
    lan = spaced.caller("lan", version)
    for note in spaced.notes:
        if note.live:
            for word in (note.words[-1], note.title, f"tag:{note.words[0]}"):
                assert note.id in json.dumps(await lan.call("search", query=word))
        told = json.dumps([await lan.call("note_history", id=note.id)])
        assert all(word in told for word in (note.id, note.title, note.words[0], note.words[1]))

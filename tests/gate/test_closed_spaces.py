"""A space that is not open to somebody is not there: no title, tag, id, number or count of it in any answer.

On the wire, at both doors, for random rules, against notes whose every word is a marker.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from app.notes.tools import NOTE_URI
from app.policy.parse import parse
from app.policy.rules import principal_named
from app.simulator import SigningKey
from tests.house import Clock, in_one_task, new_team, open_house

from .planted import (
    ALICE,
    LISTS,
    MISSING,
    PEOPLE,
    SPACES,
    VERSIONS,
    Asked,
    Spaced,
    everything_told,
    is_closed,
    policies,
    probes,
    walk,
)

pytestmark = pytest.mark.asyncio(loop_scope="module")


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

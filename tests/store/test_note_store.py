"""What every note store promises (app/notes/models.py: NoteStore)."""

from __future__ import annotations

import asyncio

import pytest

from app.errors import AppError
from app.notes.models import (
    TEXT_MAX_BYTES,
    Caller,
    Note,
    NoteConflict,
    NoteInvalid,
    NoteNotFound,
    NoteStore,
    SpaceClosed,
)
from app.store.engine import Database
from app.store.notes import SqlNotes
from app.store.open import Store

from .conftest import ALICE, BOB, LAN, NOBODY, Clock


async def add(store: NoteStore, title: str = "T", text: str = "", **more: object) -> Note:
    caller = more.get("caller", LAN)
    tags = more.get("tags", ())
    assert isinstance(caller, Caller)
    assert isinstance(tags, tuple)
    return await store.add(caller, title=title, text=text, tags=tags, space=str(more.get("space", "main")))


async def found(store: NoteStore, query: str, caller: Caller = LAN, **more: object) -> list[str]:
    space, tags = more.get("space"), more.get("tags", ())
    assert isinstance(tags, tuple)
    page = await store.search(
        caller, query, space=str(space) if space else None, tags=tags, limit=50, cursor=None
    )
    return [hit.note.title for hit in page.items]


def test_the_sql_store_is_a_note_store(store: SqlNotes) -> None:
    promised: NoteStore = store
    assert promised


async def test_a_note_comes_back_as_it_was_given(store: SqlNotes, clock: Clock) -> None:
    text = "é 日本 🎉\r\n\n```\n"
    made = await add(store, " Title ", text, tags=("#A", "a", "b"))
    assert made == Note(made.id, "main", "Title", text, ("A", "b"), 1, clock.at, clock.at)
    assert await store.get(LAN, made.id) == made
    assert await store.get(LAN, f"note://{made.id.upper()}") == made


async def test_a_change_counts_the_version_and_leaves_the_rest(store: SqlNotes, clock: Clock) -> None:
    made = await add(store, "Old", "text", tags=("a",))
    clock.at += 5
    changed = await store.update(LAN, made.id, version=1, title="New", text=None, tags=None)
    assert changed == Note(made.id, "main", "New", "text", ("a",), 2, made.created_at, clock.at)
    emptied = await store.update(LAN, made.id, version=2, title=None, text="", tags=())
    assert (emptied.title, emptied.text, emptied.tags) == ("New", "", ())
    assert await store.get(LAN, made.id) == emptied


async def test_a_stale_version_is_a_conflict_that_changes_nothing(store: SqlNotes) -> None:
    made = await add(store, text="one")
    await store.update(LAN, made.id, version=1, title=None, text="two", tags=None)
    with pytest.raises(NoteConflict, match="version is now 2") as refusal:
        await store.update(LAN, made.id, version=1, title=None, text="three", tags=None)
    assert refusal.value.current == 2
    assert (await store.get(LAN, made.id)).text == "two"


async def test_of_many_changes_to_one_version_one_wins(store: SqlNotes) -> None:
    made = await add(store)
    tries = [store.update(LAN, made.id, version=1, title=None, text=str(n), tags=None) for n in range(10)]
    results = await asyncio.gather(*tries, return_exceptions=True)
    winners = [result for result in results if isinstance(result, Note)]
    assert len(winners) == 1
    assert sum(isinstance(result, NoteConflict) for result in results) == 9
    assert await store.get(LAN, made.id) == winners[0]


async def test_every_concurrent_append_stays_on_a_line_of_its_own(store: SqlNotes) -> None:
    made = await add(store, text="start")
    await asyncio.gather(*(store.append(LAN, made.id, f"line {n}") for n in range(20)))
    note = await store.get(LAN, made.id)
    assert note.version == 21
    assert sorted(note.text.split("\n")) == sorted(["start", *(f"line {n}" for n in range(20))])


async def test_an_append_beyond_the_bound_changes_nothing(store: SqlNotes) -> None:
    made = await add(store, text="x" * (TEXT_MAX_BYTES - 4))
    await store.append(LAN, made.id, "abc")
    with pytest.raises(NoteInvalid, match="1 MiB"):
        await store.append(LAN, made.id, "d")
    note = await store.get(LAN, made.id)
    assert (note.version, len(note.text)) == (2, TEXT_MAX_BYTES)


async def test_a_deleted_note_is_gone_everywhere_until_restored(store: SqlNotes) -> None:
    made = await add(store, "Gone", "word", tags=("t",))
    other = await add(store, "Other", "[[Gone]]")
    deleted = await store.delete(LAN, made.id)
    assert deleted.deleted_at is not None
    assert await store.delete(LAN, made.id) == deleted
    with pytest.raises(NoteNotFound, match="restore_note"):
        await store.get(LAN, made.id)
    for change in (
        store.append(LAN, made.id, "x"),
        store.update(LAN, made.id, version=2, title="x", text=None, tags=None),
    ):
        with pytest.raises(NoteNotFound, match="restore_note"):
            await change
    assert await found(store, "word") == []
    assert await store.tags(LAN, None) == ()
    assert await store.links(LAN, other) == ((), ())
    restored = await store.restore(LAN, made.id)
    assert await store.restore(LAN, made.id) == restored == await store.get(LAN, made.id)
    assert await found(store, "word") == ["Gone"]


async def test_history_tells_who_did_what_and_every_text_is_kept(store: SqlNotes) -> None:
    made = await add(store, "One", "a", caller=ALICE)
    await store.append(LAN, made.id, "b")
    await store.update(LAN, made.id, version=2, title="Two", text=None, tags=("t",))
    await store.append(LAN, made.id, "c\n")
    await store.append(LAN, made.id, "d")
    await store.update(ALICE, made.id, version=5, title=None, text="z", tags=None)
    await store.delete(LAN, made.id)
    history = await store.history(LAN, made.id)
    assert [(past.version, past.action, past.title, past.size, past.author) for past in history] == [
        (7, "delete", "Two", 1, "lan"),
        (6, "update", "Two", 1, "alice@example.com"),
        (5, "append", "Two", 7, "lan"),
        (4, "append", "Two", 6, "lan"),
        (3, "update", "Two", 3, "lan"),
        (2, "append", "One", 3, "lan"),
        (1, "create", "One", 1, "alice@example.com"),
    ]
    texts = [(await store.revision(LAN, made.id, version)).text for version in range(1, 8)]
    assert texts == ["a", "a\nb", "a\nb", "a\nb\nc\n", "a\nb\nc\nd", "z", "z"]
    with pytest.raises(NoteInvalid, match="1 to 7"):
        await store.revision(LAN, made.id, 8)


async def test_links_find_notes_that_are_written_later(store: SqlNotes) -> None:
    one = await add(store, "One", "[[two]] and [[Three]]")
    assert await store.links(LAN, one) == ((), ())
    two = await add(store, "TWO", "back to [[one|here]]")
    links, backlinks = await store.links(LAN, one)
    assert [link.id for link in links] == [link.id for link in backlinks] == [two.id]
    await store.update(LAN, two.id, version=1, title="Three", text="none", tags=None)
    links, backlinks = await store.links(LAN, one)
    assert [link.title for link in links] == ["Three"]
    assert backlinks == ()


async def test_a_link_prefers_its_own_space_then_the_oldest_note(store: SqlNotes) -> None:
    first, elsewhere = await add(store, "T", space="a"), await add(store, "T", space="b")
    near, far = await add(store, "Near", "[[T]]", space="b"), await add(store, "Far", "[[T]]", space="c")
    assert [link.id for link in (await store.links(LAN, near))[0]] == [elsewhere.id]
    assert [link.id for link in (await store.links(LAN, far))[0]] == [first.id]
    assert [link.title for link in (await store.links(LAN, first))[1]] == ["Far"]
    assert [link.title for link in (await store.links(LAN, elsewhere))[1]] == ["Near"]


async def test_search_ranks_the_title_first_and_shows_the_match(store: SqlNotes) -> None:
    await add(store, "Other", "zebra " + "filler " * 50)
    await add(store, "Zebra", "stripes")
    await add(store, "None", "nothing")
    page = await store.search(LAN, "ZÈBRA", space=None, tags=(), limit=10, cursor=None)
    assert [hit.note.title for hit in page.items] == ["Zebra", "Other"]
    assert page.items[0].score > page.items[1].score > 0
    assert "zebra" in page.items[1].snippet
    assert page.items[0].note.text == ""


async def test_search_narrows_by_space_and_tags(store: SqlNotes) -> None:
    await add(store, "A", "word", tags=("x", "y"), space="one")
    await add(store, "B", "word", tags=("x",), space="two")
    assert await found(store, "word", space="two") == ["B"]
    assert await found(store, "word", tags=("X", "#y")) == ["A"]
    assert await found(store, "word tag:y") == ["A"]
    assert await found(store, "-word") == []
    assert await found(store, "-other", tags=("y",)) == ["A"]
    assert await found(store, "") == ["B", "A"]
    assert await found(store, "🎉") == []


async def test_the_index_follows_every_kind_of_change(store: SqlNotes) -> None:
    made = await add(store, "First", "alpha")
    await store.update(LAN, made.id, version=1, title="Second", text="beta", tags=None)
    await store.append(LAN, made.id, "gamma")
    assert [await found(store, word) for word in ("first", "alpha", "second", "beta", "gamma")] == [
        [],
        [],
        ["Second"],
        ["Second"],
        ["Second"],
    ]


async def test_tags_are_counted_without_case_and_spaces_by_live_notes(store: SqlNotes) -> None:
    await add(store, tags=("Work", "a"), space="one")
    gone = await add(store, tags=("work",), space="two")
    assert [(tag.name, tag.notes) for tag in await store.tags(LAN, None)] == [("Work", 2), ("a", 1)]
    await store.delete(LAN, gone.id)
    assert [(tag.name, tag.notes) for tag in await store.tags(LAN, None)] == [("Work", 1), ("a", 1)]
    assert [(space.name, space.notes) for space in await store.spaces(LAN)] == [("one", 1)]


async def test_a_note_in_a_closed_space_answers_exactly_like_a_missing_one(store: SqlNotes) -> None:
    closed = await add(store, "Secret", "word [[Open]]", tags=("hidden",), space="hr")
    gone = await add(store, "Secret2", "word", space="hr")
    await store.delete(LAN, gone.id)
    open_note = await add(store, "Open", "word [[Secret]]")
    missing = "01a20dc0-1442-7c1b-baff-5de1184fb1d3"

    async def answers(note_id: str) -> list[str]:
        said = []
        for ask in (
            store.get(ALICE, note_id),
            store.update(ALICE, note_id, version=1, title="x", text=None, tags=None),
            store.append(ALICE, note_id, "x"),
            store.delete(ALICE, note_id),
            store.restore(ALICE, note_id),
            store.history(ALICE, note_id),
            store.revision(ALICE, note_id, 1),
        ):
            with pytest.raises(NoteNotFound) as refusal:
                await ask
            said.append(refusal.value.public.replace(note_id, "ID"))
        return said

    assert await answers(closed.id) == await answers(gone.id) == await answers(missing)
    assert await found(store, "word", ALICE) == ["Open"]
    assert await found(store, "", ALICE, space="hr") == []
    assert await store.tags(ALICE, "hr") == await store.tags(ALICE, None) == ()
    assert [space.name for space in await store.spaces(ALICE)] == ["main", "~"]
    assert await store.links(ALICE, open_note) == ((), ())
    assert closed.id not in await store.ids(ALICE, "", 100)
    assert (await store.get(LAN, closed.id)).version == 1


async def test_a_caller_without_spaces_sees_nothing_and_writes_nowhere(store: SqlNotes) -> None:
    await add(store)
    assert await found(store, "", NOBODY) == []
    for space in ("main", "~"):
        with pytest.raises(SpaceClosed):
            await add(store, caller=NOBODY, space=space)


async def test_the_own_space_is_called_tilde_and_is_nobody_elses(store: SqlNotes) -> None:
    mine = await add(store, "Mine", "word", caller=ALICE, space="~")
    assert mine.space == "~"
    assert await found(store, "word", ALICE, space="~") == ["Mine"]
    assert await found(store, "word", BOB) == []  # all shared spaces, but no person's own
    assert (await store.get(LAN, mine.id)).space == "~alice@example.com"
    assert await store.get(ALICE, mine.id) == mine


async def test_limits_and_orders_are_checked(store: SqlNotes) -> None:
    for limit in (0, -1, 201):
        with pytest.raises(NoteInvalid, match="Use 1 to 200"):
            await store.list(LAN, space=None, tag=None, order="title", limit=limit, cursor=None)
    with pytest.raises(NoteInvalid, match="Use 1 to 50"):
        await store.search(LAN, "", space=None, tags=(), limit=51, cursor=None)


async def test_what_joins_a_change_is_kept_with_it_or_not_at_all(opened: Store) -> None:
    seen: list[int] = []

    async def count_then_refuse(connection: object) -> None:
        seen.append(1)
        if len(seen) == 2:
            raise AppError("Not now.")

    database = Database(opened.database.path, before_commit=count_then_refuse)
    numbers = iter("12")
    store = SqlNotes(database, now=lambda: 0.0, new_id=lambda: next(numbers))
    try:
        await add(store, "Kept")
        with pytest.raises(AppError, match="Not now"):
            await add(store, "Refused")
    finally:
        await database.close()
    assert await found(opened.notes, "") == ["Kept"]


async def test_a_cancelled_change_is_kept_whole_or_not_at_all(opened: Store) -> None:
    store = opened.notes
    made = await add(store, text="start")
    for turn in range(60):
        work = asyncio.create_task(store.append(LAN, made.id, f"line {turn}"))
        for _ in range(turn % 20):
            await asyncio.sleep(0)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
    await store.append(LAN, made.id, "end")
    note = await store.get(LAN, made.id)
    history = await store.history(LAN, made.id)
    assert note.version == len(history) == len(note.text.split("\n"))
    assert note.text.endswith("\nend")
    assert await found(store, "end") == ["T"]

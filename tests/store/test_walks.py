"""Walks by cursor: every note once, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any, Literal, get_args

import pytest

from app.notes.cursor import encode_cursor
from app.notes.models import NoteInvalid, Order, Page
from app.store.notes import SqlNotes

from .conftest import ALICE, LAN

ORDERS: tuple[Order, ...] = get_args(Literal["updated", "created", "title"])


async def fill(store: SqlNotes, number: int) -> list[str]:
    return [
        (await store.add(LAN, title=f"Note {n % 7}", text=f"word w{n}", tags=("t",), space="main")).id
        for n in range(number)
    ]


async def page_of(store: SqlNotes, order: str, cursor: str | None) -> Page[Any]:
    if order == "search":
        return await store.search(LAN, "word", space=None, tags=(), limit=4, cursor=cursor)
    if order == "recent":
        return await store.search(LAN, "-zzz", space=None, tags=(), limit=4, cursor=cursor)
    return await store.list(LAN, space="main", tag="t", order=order, limit=4, cursor=cursor)  # type: ignore[arg-type]


def ids_of(page: Page[Any]) -> list[str]:
    return [getattr(item, "note", item).id for item in page.items]


@pytest.mark.parametrize("order", [*ORDERS, "search", "recent"])
async def test_a_walk_visits_every_note_once_in_one_order(store: SqlNotes, order: str) -> None:
    made = await fill(store, 30)
    walked: list[str] = []
    cursor = None
    while True:
        page = await page_of(store, order, cursor)
        walked += ids_of(page)
        if (cursor := page.next_cursor) is None:
            break
    assert sorted(walked) == sorted(made)
    whole = await page_of(store, order, None)
    assert walked[:4] == ids_of(whole)
    if order in ("updated", "created", "recent"):
        assert walked == made[::-1]


@pytest.mark.parametrize("order", [*ORDERS, "recent"])
async def test_a_walk_visits_every_note_once_also_while_others_write(store: SqlNotes, order: str) -> None:
    made = await fill(store, 30)
    walked: list[str] = []
    cursor = None
    for turn in range(100):
        page = await page_of(store, order, cursor)
        walked += ids_of(page)
        if (cursor := page.next_cursor) is None:
            break
        # One that was visited, one that will be, a new one; two of them get names at the other end.
        for note_id in (made[turn], made[-1 - turn]):
            note = await store.get(LAN, note_id)
            title = f"{'AZ'[turn % 2]} renamed"
            await store.update(LAN, note_id, version=note.version, title=title, text=None, tags=None)
        await asyncio.gather(store.append(LAN, made[15], "more"), fill(store, 1))
    old = [note_id for note_id in walked if note_id in made]
    assert sorted(old) == sorted(made)
    assert len(set(walked)) == len(walked)


async def test_a_cursor_is_good_for_its_own_query_only(store: SqlNotes) -> None:
    await fill(store, 10)
    cursor = (await page_of(store, "search", None)).next_cursor
    for query, space, tags in (
        ("words", None, ()),
        ("word", "main", ()),
        ("word", None, ("t",)),
        ("", None, ()),
    ):
        with pytest.raises(NoteInvalid, match="does not belong to this query"):
            await store.search(LAN, query, space=space, tags=tags, limit=4, cursor=cursor)
    with pytest.raises(NoteInvalid, match="does not belong to this query"):
        await store.list(LAN, space=None, tag=None, order="title", limit=4, cursor=cursor)


async def test_a_cursor_of_another_caller_opens_nothing(store: SqlNotes) -> None:
    await store.add(LAN, title="Closed", text="word", tags=(), space="hr")
    await fill(store, 6)
    cursor = (await page_of(store, "search", None)).next_cursor
    page = await store.search(ALICE, "word", space=None, tags=(), limit=50, cursor=cursor)
    assert "Closed" not in [hit.note.title for hit in page.items]


@pytest.mark.parametrize("order", [*ORDERS, "search", "recent"])
async def test_a_cursor_holds_nothing_that_its_owner_does_not_see(store: SqlNotes, order: str) -> None:
    """Its plain content names a note that was on the page, and counts only what was passed."""
    await fill(store, 6)
    page = await page_of(store, order, None)
    assert page.next_cursor is not None
    padded = page.next_cursor + "=" * (-len(page.next_cursor) % 4)
    digest, *position = json.loads(base64.urlsafe_b64decode(padded))
    assert isinstance(digest, str)
    if order == "search":
        assert position == [4]
    else:
        assert position[2] == ids_of(page)[-1]
        newest = await store.list(LAN, space=None, tag=None, order="updated", limit=1, cursor=None)
        assert position[:2] == [newest.items[0].id, newest.items[0].version]


async def test_a_cursor_that_names_a_note_which_is_closed_belongs_to_no_query(store: SqlNotes) -> None:
    """Like one that names a note which is not there: nothing can be learnt by making cursors up."""
    closed = await store.add(LAN, title="Closed", text="word", tags=(), space="hr")
    await fill(store, 6)
    of = ("list", None, None, "updated")
    mine = (await store.list(ALICE, space=None, tag=None, order="updated", limit=1, cursor=None)).items[0]
    for start, last in ((closed.id, mine.id), (mine.id, closed.id), ("none", mine.id), (mine.id, "none")):
        made_up = encode_cursor(of, start, 1, last)
        with pytest.raises(NoteInvalid, match="does not belong to this query"):
            await store.list(ALICE, space=None, tag=None, order="updated", limit=4, cursor=made_up)

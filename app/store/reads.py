"""Lists that are walked page by page, links, and old revisions.

A walk sees the order as it was when it began (`start`, the newest revision then): a note that changes in
the meantime keeps its place, so it is visited once and none is passed over. Later notes are not visited.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, tuple_, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from app.notes.cursor import decode_cursor, encode_cursor
from app.notes.models import Caller, Hit, Link, Note, NoteInvalid, Order, Page
from app.store.rows import COLUMNS, live, missing, note_of, visible
from app.store.tables import note_links, note_texts, notes, revisions

LINKS_SHOWN = 200
BEGINNING = 240


@dataclass(frozen=True, slots=True)
class Walk:
    """What is walked and how. `query` is what its cursors belong to."""

    order: Order
    conditions: tuple[ColumnElement[bool], ...]
    query: tuple[object, ...]


async def list_page(
    connection: AsyncConnection, caller: Caller, walk: Walk, *, limit: int, cursor: str | None
) -> Page[Note]:
    if cursor is None:
        newest = await connection.scalar(select(func.coalesce(func.max(revisions.c.seq), 0)))
        start, after = int(newest or 0), None
    else:
        kinds = (int, str, int) if walk.order == "title" else (int, int)
        position: list[Any] = decode_cursor(cursor, walk.query, *kinds)
        start, after = position[0], tuple(position[1:])
    rows = (await connection.execute(_page(walk, start, after, limit + 1))).all()
    items = tuple(note_of(caller, row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(items, None)
    *_, key, place = rows[limit - 1]
    last = (place, key) if walk.order == "title" else (place,)
    return Page(items, encode_cursor(walk.query, start, *last))


def _page(walk: Walk, start: int, after: tuple[Any, ...] | None, count: int) -> Select[Any]:
    if walk.order == "created":  # never changes, so the walk needs no memory of its beginning
        page = select(*COLUMNS, notes.c.key, notes.c.key.label("place")).where(*walk.conditions)
        return _cut(page, notes.c.key, notes.c.key, after, by_title=False).limit(count)
    by_title = walk.order == "title"
    then = revisions.alias("then")
    newest = select(func.max(revisions.c.seq)).where(
        revisions.c.note_key == notes.c.key, revisions.c.seq <= start
    )
    now_at, then_at = (notes.c.folded, then.c.folded) if by_title else (notes.c.changed, then.c.seq)
    unchanged = select(notes.c.key, now_at.label("place")).where(notes.c.changed <= start, *walk.conditions)
    unchanged = _cut(unchanged, now_at, notes.c.key, after, by_title=by_title).limit(count)
    moved = (
        select(notes.c.key, then_at.label("place"))
        .select_from(notes.join(then, then.c.note_key == notes.c.key))
        .where(notes.c.changed > start, then.c.seq == newest.scalar_subquery(), *walk.conditions)
    )
    places = union_all(select(unchanged.subquery()), moved).subquery("places")
    page = select(*COLUMNS, notes.c.key, places.c.place).join_from(places, notes, notes.c.key == places.c.key)
    return _cut(page, places.c.place, notes.c.key, after, by_title=by_title).limit(count)


def _cut(
    page: Select[Any],
    place: ColumnElement[Any],
    key: ColumnElement[int],
    after: tuple[Any, ...] | None,
    *,
    by_title: bool,
) -> Select[Any]:
    """What comes after the last note of the page before: by title A to Z, else newest first."""
    if by_title:
        page = page.order_by(place, key)
        return page.where(tuple_(place, key) > after) if after else page
    page = page.order_by(place.desc())
    return page.where(place < after[0]) if after else page


async def recent(
    connection: AsyncConnection, caller: Caller, walk: Walk, *, limit: int, cursor: str | None
) -> Page[Hit]:
    """What a search without wanted words finds: the walk, each note with the beginning of its text."""
    page = await list_page(connection, caller, walk, limit=limit, cursor=cursor)
    begin = func.substr(note_texts.c.text, 1, BEGINNING)
    query = select(notes.c.id, begin).join(note_texts, note_texts.c.key == notes.c.key)
    rows = await connection.execute(query.where(notes.c.id.in_([note.id for note in page.items])))
    texts = {row[0]: " ".join(row[1].split()) for row in rows}
    return Page(tuple(Hit(note, texts[note.id], 0.0) for note in page.items), page.next_cursor)


async def outgoing(connection: AsyncConnection, caller: Caller, own: Any) -> tuple[Link, ...]:
    """The notes that `own` (a row with key, space, folded) links to: for each title the one in its own space,
    else elsewhere, the oldest first."""
    choice = func.row_number().over(
        partition_by=note_links.c.target, order_by=((notes.c.space != own.space), notes.c.key)
    )
    found = (
        select(notes.c.id, notes.c.title, notes.c.key, choice.label("choice"))
        .join(note_links, note_links.c.target == notes.c.folded)
        .where(note_links.c.note_key == own.key, live(caller))
        .subquery()
    )
    query = select(found.c.id, found.c.title).where(found.c.choice == 1, found.c.key != own.key)
    rows = await connection.execute(query.order_by(found.c.title, found.c.id).limit(LINKS_SHOWN))
    return tuple(Link(*row) for row in rows)


async def incoming(connection: AsyncConnection, caller: Caller, own: Any) -> tuple[Link, ...]:
    """The notes whose link by title leads to `own` and not to another note of that title."""
    other = notes.alias("other")
    own_is_near = notes.c.space == own.space
    other_is_near = other.c.space == notes.c.space
    preferred = or_(
        and_(other_is_near, ~own_is_near),
        and_(other_is_near == own_is_near, other.c.key < own.key),
    )
    rival = select(other.c.key).where(
        other.c.folded == own.folded, other.c.key != own.key, live(caller, other), preferred
    )
    query = (
        select(notes.c.id, notes.c.title)
        .join(note_links, note_links.c.note_key == notes.c.key)
        .where(note_links.c.target == own.folded, notes.c.key != own.key, live(caller), ~rival.exists())
        .order_by(notes.c.title, notes.c.id)
        .limit(LINKS_SHOWN)
    )
    return tuple(Link(*row) for row in await connection.execute(query))


async def revision_at(connection: AsyncConnection, caller: Caller, note_id: str, version: int) -> Note:
    query = select(*COLUMNS, notes.c.key, note_texts.c.text)
    query = query.join(note_texts, note_texts.c.key == notes.c.key)
    row = (await connection.execute(query.where(notes.c.id == note_id, visible(caller)))).first()
    if row is None:
        raise missing(note_id)
    if not 1 <= version <= row.version:
        raise NoteInvalid(f"The note has the versions 1 to {row.version}. Ask for one of these.")
    parts = select(revisions).where(revisions.c.note_key == row.key, revisions.c.version >= version)
    own, text = None, row.text
    # From the newest back: each revision says how its text differs from the one after it.
    for own in await connection.execute(parts.order_by(revisions.c.version.desc())):
        text = own.text if own.text is not None else text[: own.kept] if own.kept is not None else text
    assert own is not None  # noqa: S101  every version has its revision
    then = (row.id, row.space, own.title, own.tags, own.version, row.created_at, own.at, None)
    return note_of(caller, then, text)

"""Lists that are walked page by page, links, and old revisions.

A walk sees the order as it was when it began (`start`, the newest revision then): a note that changes in
the meantime keeps its place, so it is visited once and none is passed over. Later notes are not visited.
Cursors name notes and versions that the caller sees, never our own numbers: these would count closed notes.

Statements are built once for each caller and shape: building one costs more than running it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    String,
    and_,
    bindparam,
    func,
    or_,
    select,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from app.notes.cursor import decode_cursor, encode_cursor, unknown_cursor
from app.notes.ids import canonical
from app.notes.models import Caller, Hit, Link, Note, NoteInvalid, Order, Page
from app.store.fulltext import NOT_MATCHING
from app.store.rows import COLUMNS, deleted, live, missing, note_of, tagged, visible
from app.store.tables import note_links, note_texts, notes, revisions

LINKS_SHOWN = 200
BEGINNING = 240
STATEMENTS = 64  # kept per kind

_START = bindparam("start", type_=Integer)
_COUNT = bindparam("count", type_=Integer)


@dataclass(frozen=True, slots=True)
class Walk:
    """What is walked and how. `query` is what its cursors belong to."""

    order: Order
    query: tuple[object, ...]
    space: str | None = None  # in full
    tags: tuple[str, ...] = ()  # folded
    unwanted: str = ""  # an FTS5 expression


async def list_page(
    connection: AsyncConnection, caller: Caller, walk: Walk, *, limit: int, cursor: str | None
) -> Page[Note]:
    values: dict[str, Any] = {"count": limit + 1, "space": walk.space, "unwanted": walk.unwanted}
    values |= {f"tag{index}": tag for index, tag in enumerate(walk.tags)}
    start, place = await _beginning(connection, caller, walk, cursor)
    values |= {"start": start.seq, **place}
    page = _page(
        caller, walk.order, walk.space is not None, len(walk.tags), bool(walk.unwanted), cursor is not None
    )
    rows = (await connection.execute(page, values)).all()
    items = tuple(note_of(caller, row) for row in rows[:limit])
    if len(rows) <= limit:
        return Page(items, None)
    return Page(items, encode_cursor(walk.query, start.id, start.version, items[-1].id))


@dataclass(frozen=True, slots=True)
class _Start:
    """The newest revision that the caller saw when a walk began."""

    id: str = ""
    version: int = 0
    seq: int = 0


async def _beginning(
    connection: AsyncConnection, caller: Caller, walk: Walk, cursor: str | None
) -> tuple[_Start, dict[str, Any]]:
    """When the walk began, and the place after which it goes on. Raises NoteInvalid."""
    if cursor is None:
        newest = (await connection.execute(_newest(caller))).first()
        return (_Start() if newest is None else _Start(*newest)), {}
    start_id, version, last_id = decode_cursor(cursor, walk.query, str, int, str)
    named = {"start_id": start_id, "version": version, "last_id": last_id}
    row = (await connection.execute(_place(caller, walk.order), named)).first()
    if row is None:
        raise unknown_cursor()
    return _Start(str(start_id), int(str(version)), row.start), {"place": row.place, "key": row.key}


@lru_cache(STATEMENTS)
def _newest(caller: Caller) -> Select[Any]:
    query = select(notes.c.id, notes.c.version, notes.c.changed).where(visible(caller))
    return query.order_by(notes.c.changed.desc()).limit(1)


@lru_cache(STATEMENTS)
def _place(caller: Caller, order: Order) -> Select[Any]:
    """Where the walk began and where its last note was then, by the names in a cursor."""
    first, began, then = notes.alias("first"), revisions.alias("began"), revisions.alias("then")
    start = (
        select(began.c.seq)
        .join(first, first.c.key == began.c.note_key)
        .where(
            first.c.id == bindparam("start_id", type_=String),
            began.c.version == bindparam("version", type_=Integer),
            visible(caller, first),
        )
        .subquery("start")
    )
    query = select(start.c.seq.label("start"), notes.c.key)
    is_last = (notes.c.id == bindparam("last_id", type_=String)) & visible(caller)
    if order == "created":
        return query.add_columns(notes.c.key.label("place")).join_from(start, notes, is_last)
    place = then.c.folded if order == "title" else then.c.seq
    return (
        query.add_columns(place.label("place"))
        .join_from(start, notes, is_last)
        .join(then, (then.c.note_key == notes.c.key) & (then.c.seq <= start.c.seq))
        .order_by(then.c.seq.desc())
        .limit(1)
    )


@lru_cache(STATEMENTS)
def _page(
    caller: Caller, order: Order, in_space: bool, tags: int, unwanted: bool, further: bool
) -> Select[Any]:
    where = [live(caller), *(tagged(bindparam(f"tag{index}", type_=String)) for index in range(tags))]
    if in_space:
        where.append(notes.c.space == bindparam("space", type_=String))
    if unwanted:
        where.append(notes.c.key.not_in(NOT_MATCHING))
    if order == "created":  # never changes, so the walk needs no memory of its beginning
        page = select(*COLUMNS, notes.c.key, notes.c.key.label("place")).where(*where)
        return _cut(page, notes.c.key, by_title=False, further=further)
    by_title = order == "title"
    then = revisions.alias("then")
    newest = select(func.max(revisions.c.seq)).where(
        revisions.c.note_key == notes.c.key, revisions.c.seq <= _START
    )
    now_at, then_at = (notes.c.folded, then.c.folded) if by_title else (notes.c.changed, then.c.seq)
    unchanged = select(notes.c.key, now_at.label("place")).where(notes.c.changed <= _START, *where)
    unchanged = _cut(unchanged, now_at, by_title=by_title, further=further)
    moved = (
        select(notes.c.key, then_at.label("place"))
        .select_from(notes.join(then, then.c.note_key == notes.c.key))
        .where(notes.c.changed > _START, then.c.seq == newest.scalar_subquery(), *where)
    )
    places = union_all(select(unchanged.subquery()), moved).subquery("places")
    page = select(*COLUMNS, notes.c.key, places.c.place).join_from(places, notes, notes.c.key == places.c.key)
    return _cut(page, places.c.place, by_title=by_title, further=further)


def _cut(page: Select[Any], place: ColumnElement[Any], *, by_title: bool, further: bool) -> Select[Any]:
    """A page in order, by title from A to Z, else newest first; `further`: after the last note of another."""
    if by_title:
        page = page.order_by(place, notes.c.key)
        last = tuple_(bindparam("place", type_=String), bindparam("key", type_=Integer))
        return (page.where(tuple_(place, notes.c.key) > last) if further else page).limit(_COUNT)
    page = page.order_by(place.desc())
    return (page.where(place < bindparam("place", type_=Integer)) if further else page).limit(_COUNT)


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


async def links_of(
    connection: AsyncConnection, caller: Caller, note_id: str
) -> tuple[tuple[Link, ...], tuple[Link, ...]]:
    """(where the note's links lead, whose links lead to it). A link leads to the note of that title in the
    space of the link, else to one elsewhere, the oldest first."""
    own = (await connection.execute(_own(caller), {"id": canonical(note_id) or ""})).first()
    if own is None:
        raise missing(note_id)
    values = {"own_key": own.key, "own_space": own.space, "own_folded": own.folded}
    to = await connection.execute(_outgoing(caller), values)
    back = await connection.execute(_incoming(caller), values)
    return tuple(Link(*row) for row in to), tuple(Link(*row) for row in back)


_OWN_KEY = bindparam("own_key", type_=Integer)
_OWN_SPACE = bindparam("own_space", type_=String)
_OWN_FOLDED = bindparam("own_folded", type_=String)


@lru_cache(STATEMENTS)
def _own(caller: Caller) -> Select[Any]:
    query = select(notes.c.key, notes.c.space, notes.c.folded)
    return query.where(notes.c.id == bindparam("id", type_=String), visible(caller))


@lru_cache(STATEMENTS)
def _outgoing(caller: Caller) -> Select[Any]:
    choice = func.row_number().over(
        partition_by=note_links.c.target, order_by=((notes.c.space != _OWN_SPACE), notes.c.key)
    )
    found = (
        select(notes.c.id, notes.c.title, notes.c.key, choice.label("choice"))
        .join(note_links, note_links.c.target == notes.c.folded)
        .where(note_links.c.note_key == _OWN_KEY, live(caller))
        .subquery()
    )
    query = select(found.c.id, found.c.title).where(found.c.choice == 1, found.c.key != _OWN_KEY)
    return query.order_by(found.c.title, found.c.id).limit(LINKS_SHOWN)


@lru_cache(STATEMENTS)
def _incoming(caller: Caller) -> Select[Any]:
    other = notes.alias("other")
    own_is_near = notes.c.space == _OWN_SPACE
    other_is_near = other.c.space == notes.c.space
    preferred = or_(
        and_(other_is_near, ~own_is_near),
        and_(other_is_near == own_is_near, other.c.key < _OWN_KEY),
    )
    rival = select(other.c.key).where(
        other.c.folded == _OWN_FOLDED, other.c.key != _OWN_KEY, live(caller, other), preferred
    )
    return (
        select(notes.c.id, notes.c.title)
        .join(note_links, note_links.c.note_key == notes.c.key)
        .where(note_links.c.target == _OWN_FOLDED, notes.c.key != _OWN_KEY, live(caller), ~rival.exists())
        .order_by(notes.c.title, notes.c.id)
        .limit(LINKS_SHOWN)
    )


async def note_now(connection: AsyncConnection, caller: Caller, note_id: str) -> Note:
    """Raises NoteNotFound, also for a deleted note."""
    row = (await connection.execute(_whole(caller), {"id": canonical(note_id) or ""})).first()
    if row is None:
        raise missing(note_id)
    if row.deleted_at is not None:
        raise deleted()
    return note_of(caller, row, row.text)


@lru_cache(STATEMENTS)
def _whole(caller: Caller) -> Select[Any]:
    query = select(*COLUMNS, notes.c.key, note_texts.c.text)
    query = query.join(note_texts, note_texts.c.key == notes.c.key)
    return query.where(notes.c.id == bindparam("id", type_=String), visible(caller))


async def revision_at(connection: AsyncConnection, caller: Caller, note_id: str, version: int) -> Note:
    row = (await connection.execute(_whole(caller), {"id": canonical(note_id) or ""})).first()
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

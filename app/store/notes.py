"""The NoteStore on SQL. What each method promises stands in app/notes/models.py."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import ColumnElement, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from app.notes.cursor import decode_place, encode_cursor
from app.notes.models import (
    LIST_MAX,
    SEARCH_MAX,
    TAGS_MAX,
    TEXT_MAX_BYTES,
    Action,
    Caller,
    Count,
    Hit,
    Link,
    Note,
    NoteInvalid,
    Order,
    Page,
    Revision,
)
from app.notes.query import any_of, parse
from app.notes.valid import (
    folded,
    full_space,
    is_open,
    open_names,
    open_space,
    shown_space,
    too_long,
    valid_tag,
    valid_tags,
    valid_text,
    valid_title,
)
from app.store import changes, reads
from app.store.engine import Database
from app.store.fulltext import INDEX_NEW, ranked
from app.store.rows import COLUMNS, live, missing, note_of, visible
from app.store.tables import note_tags, note_texts, notes, revisions


class SqlNotes:
    """Notes in a Database. Each change and its revision are one transaction (Database.write)."""

    def __init__(self, database: Database, *, now: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._database = database
        self._now = now
        self._new_id = new_id

    # Changes

    async def add(self, caller: Caller, *, title: str, text: str, tags: tuple[str, ...], space: str) -> Note:
        title, text, tags = valid_title(title), valid_text(text), valid_tags(tags)
        space = open_space(caller, space)
        at = self._now()
        values = {
            "id": self._new_id(),
            "space": space,
            "title": title,
            "folded": folded(title),
            "tags": changes.tags_json(tags),
            "version": 1,
            "changed": changes.NEXT_SEQ,
            "created_at": at,
            "updated_at": at,
        }
        async with self._database.write() as connection:
            row = (await connection.execute(insert(notes).values(values).returning(*changes.CHANGED))).one()
            await connection.execute(insert(note_texts).values(key=row.key, text=text))
            await connection.execute(INDEX_NEW, {"first": row.key})
            await changes.record(connection, caller, row, "create", size=len(text.encode()))
            await changes.put_tags(connection, row.key, tags)
            await changes.put_links(connection, row.key, text)
        return note_of(caller, row, text)

    async def update(
        self,
        caller: Caller,
        note_id: str,
        *,
        version: int,
        title: str | None,
        text: str | None,
        tags: tuple[str, ...] | None,
    ) -> Note:
        values: dict[str, Any] = {}
        if title is not None:
            title = valid_title(title)
            values |= {"title": title, "folded": folded(title)}
        if text is not None:
            text = valid_text(text)
        if tags is not None:
            tags = valid_tags(tags)
            values["tags"] = changes.tags_json(tags)
        if not values and text is None:
            raise NoteInvalid("Nothing to change. Give a new title, text or tags.")
        is_current = (notes.c.version == version) & notes.c.deleted_at.is_(None)
        async with self._changing(caller, note_id, values, only_if=is_current) as (connection, row):
            if tags is not None:
                await changes.put_tags(connection, row.key, tags)
            if text is None:
                await changes.record(connection, caller, row, "update", size=None)
                text = await changes.text_of(connection, row.key)
            else:
                await changes.replace_text(connection, row, text)
                await changes.record(connection, caller, row, "update", size=len(text.encode()))
        return note_of(caller, row, text)

    async def append(self, caller: Caller, note_id: str, text: str) -> Note:
        text = valid_text(text)
        if not text:
            raise NoteInvalid("Nothing to append. Give a text.")
        is_live = notes.c.deleted_at.is_(None)
        async with self._changing(caller, note_id, {}, only_if=is_live) as (connection, row):
            whole = await changes.append_text(connection, row, text)
            size = len(whole.encode())
            if size > TEXT_MAX_BYTES:
                raise too_long(size)  # rolls back
            await changes.record(connection, caller, row, "append", size=size)
        return note_of(caller, row, whole)

    async def delete(self, caller: Caller, note_id: str) -> Note:
        is_live = notes.c.deleted_at.is_(None)
        return await self._set_deleted(caller, note_id, "delete", self._now(), only_if=is_live)

    async def restore(self, caller: Caller, note_id: str) -> Note:
        is_deleted = notes.c.deleted_at.is_not(None)
        return await self._set_deleted(caller, note_id, "restore", None, only_if=is_deleted)

    # Reads

    async def get(self, caller: Caller, note_id: str) -> Note:
        async with self._database.read() as connection:
            return await reads.note_now(connection, caller, note_id)

    async def history(self, caller: Caller, note_id: str) -> tuple[Revision, ...]:
        r = revisions.c
        query = select(notes.c.id, r.version, r.action, r.title, r.size, r.tags, r.at, r.author)
        query = query.join(notes, notes.c.key == r.note_key).where(changes.is_note(note_id), visible(caller))
        async with self._database.read() as connection:
            rows = (await connection.execute(query.order_by(r.version.desc()))).all()
        if not rows:
            raise missing(note_id)
        return tuple(Revision(*row[:5], tuple(json.loads(row.tags)), row.at, row.author) for row in rows)

    async def revision(self, caller: Caller, note_id: str, version: int) -> Note:
        async with self._database.read() as connection:
            return await reads.revision_at(connection, caller, note_id, version)

    async def ids(self, caller: Caller, beginning: str, limit: int) -> tuple[str, ...]:
        query = select(notes.c.id).where(live(caller), notes.c.id.startswith(beginning, autoescape=True))
        async with self._database.read() as connection:
            rows = await connection.execute(query.order_by(notes.c.key.desc()).limit(limit))
        return tuple(rows.scalars())

    async def links(self, caller: Caller, note: Note) -> tuple[tuple[Link, ...], tuple[Link, ...]]:
        async with self._database.read() as connection:
            return await reads.links_of(connection, caller, note.id)

    async def search(
        self,
        caller: Caller,
        query: str,
        *,
        space: str | None,
        tags: tuple[str, ...],
        limit: int,
        cursor: str | None,
    ) -> Page[Hit]:
        _check_limit(limit, SEARCH_MAX)
        if len(tags) > TAGS_MAX:
            raise NoteInvalid(f"Filter by at most {TAGS_MAX} tags.")
        tags = tuple(folded(valid_tag(tag)) for tag in tags)
        full = None if space is None else full_space(caller, space)
        of = ("search", query, full, tags)
        parsed = parse(query)
        if parsed.hopeless or (full is not None and not is_open(caller, full)):
            return Page((), None)
        if not parsed.wanted:
            walk = reads.Walk("updated", of, full, (*tags, *parsed.tags), any_of(parsed.unwanted))
            async with self._database.read() as connection:
                return await reads.recent(connection, caller, walk, limit=limit, cursor=cursor)
        passed = decode_place(cursor, of) if cursor is not None else 0
        sql, values = ranked(caller, parsed, space=full, tags=tags)
        rows = await self._database.rows(sql, values | {"count": limit + 1, "passed": passed})
        hits = tuple(
            Hit(note_of(caller, row), " ".join(row[-1].split()), round(1 / place, 4))
            for place, row in enumerate(rows[:limit], passed + 1)
        )
        return Page(hits, encode_cursor(of, passed + limit) if len(rows) > limit else None)

    async def list(
        self,
        caller: Caller,
        *,
        space: str | None,
        tag: str | None,
        order: Order,
        limit: int,
        cursor: str | None,
    ) -> Page[Note]:
        _check_limit(limit, LIST_MAX)
        if order not in ("updated", "created", "title"):
            raise NoteInvalid("Notes are ordered by updated, created or title. Choose one of these.")
        full = None if space is None else full_space(caller, space)
        wanted = None if tag is None else folded(valid_tag(tag))
        walk = reads.Walk(order, ("list", full, wanted, order), full, (wanted,) if wanted else ())
        async with self._database.read() as connection:
            return await reads.list_page(connection, caller, walk, limit=limit, cursor=cursor)

    async def tags(self, caller: Caller, space: str | None) -> tuple[Count, ...]:
        full = None if space is None else full_space(caller, space)
        name, count = func.min(note_tags.c.tag), func.count()
        query = select(name, count).join(notes, notes.c.key == note_tags.c.note_key)
        query = (
            query.where(*_in_space(caller, full)).group_by(note_tags.c.folded).order_by(count.desc(), name)
        )
        async with self._database.read() as connection:
            return tuple(Count(*row) for row in await connection.execute(query))

    async def spaces(self, caller: Caller) -> tuple[Count, ...]:
        """Spaces with live notes, and those that the caller's rules open by name."""
        query = select(notes.c.space, func.count()).where(live(caller)).group_by(notes.c.space)
        async with self._database.read() as connection:
            counts = dict.fromkeys(open_names(caller), 0)
            counts |= {row[0]: row[1] for row in await connection.execute(query)}
        shown = sorted((shown_space(caller, name), count) for name, count in counts.items())
        return tuple(Count(name, count) for name, count in shown)

    # Shared by the above

    @asynccontextmanager
    async def _changing(
        self, caller: Caller, note_id: str, values: dict[str, Any], *, only_if: ColumnElement[bool]
    ) -> AsyncIterator[tuple[AsyncConnection, Any]]:
        """A write transaction in which the note has just got its next version, and the changed row."""
        async with self._database.write() as connection:
            row = await changes.change(connection, caller, note_id, values, at=self._now(), only_if=only_if)
            if row is None:
                raise await changes.why_not(connection, caller, note_id)
            yield connection, row

    async def _set_deleted(
        self, caller: Caller, note_id: str, action: Action, at: float | None, *, only_if: ColumnElement[bool]
    ) -> Note:
        now = self._now()
        async with self._database.write() as connection:
            row = await changes.change(
                connection, caller, note_id, {"deleted_at": at}, at=now, only_if=only_if
            )
            if row is not None:
                await changes.record(connection, caller, row, action, size=None)
            else:  # it is so already
                query = select(*COLUMNS, notes.c.key).where(changes.is_note(note_id), visible(caller))
                row = (await connection.execute(query)).first()
                if row is None:
                    raise missing(note_id)
            return note_of(caller, row, await changes.text_of(connection, row.key))


def _in_space(caller: Caller, space: str | None) -> tuple[ColumnElement[bool], ...]:
    return (live(caller),) if space is None else (live(caller), notes.c.space == space)


def _check_limit(limit: int, most: int) -> None:
    if not 1 <= limit <= most:
        raise NoteInvalid(f"The limit is {limit}. Use 1 to {most}.")

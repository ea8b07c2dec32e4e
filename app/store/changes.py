"""The statements that a change of a note is made of. All run inside one Database.write transaction."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import ColumnElement, Select, case, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from app.notes.ids import canonical
from app.notes.links import link_targets
from app.notes.models import Action, Caller, NoteConflict, NoteNotFound
from app.notes.valid import folded
from app.store.rows import COLUMNS, deleted, missing, visible
from app.store.tables import note_links, note_tags, note_texts, notes, revisions

CHANGED = (*COLUMNS, notes.c.key, notes.c.changed, notes.c.folded)
# Writers are alone in the database (BEGIN IMMEDIATE) and revisions are never removed.
NEXT_SEQ = select(func.coalesce(func.max(revisions.c.seq), 0) + 1).scalar_subquery()


def is_note(note_id: str) -> ColumnElement[bool]:
    return notes.c.id == (canonical(note_id) or "")


def tags_json(tags: tuple[str, ...]) -> str:
    return json.dumps(tags, ensure_ascii=False, separators=(",", ":"))


async def change(
    connection: AsyncConnection,
    caller: Caller,
    note_id: str,
    values: dict[str, Any],
    *,
    at: float,
    only_if: ColumnElement[bool],
) -> Any:
    """The changed row with its new version, or None: no such visible note, or `only_if` does not hold."""
    step = {"version": notes.c.version + 1, "changed": NEXT_SEQ, "updated_at": at}
    statement = update(notes).where(is_note(note_id), visible(caller), only_if).values(step | values)
    return (await connection.execute(statement.returning(*CHANGED))).first()


async def why_not(connection: AsyncConnection, caller: Caller, note_id: str) -> NoteNotFound | NoteConflict:
    """Why `change` of a live note changed nothing."""
    query = select(notes.c.version, notes.c.deleted_at).where(is_note(note_id), visible(caller))
    row = (await connection.execute(query)).first()
    if row is None:
        return missing(note_id)
    if row.deleted_at is not None:
        return deleted()
    return NoteConflict(
        f"The note has changed in the meantime; its version is now {row.version}. "
        "Fetch it again, work your change into the new text, and update with that version.",
        current=row.version,
    )


async def record(
    connection: AsyncConnection, caller: Caller, row: Any, action: Action, *, size: int | None
) -> None:
    """Adds the revision of a row that CHANGED returned. `size` None: the text is the same as before."""
    earlier = revisions.alias("earlier")
    same = select(earlier.c.size).where(earlier.c.note_key == row.key, earlier.c.version == row.version - 1)
    await connection.execute(
        insert(revisions).values(
            seq=row.changed,
            note_key=row.key,
            version=row.version,
            action=action,
            title=row.title,
            folded=row.folded,
            tags=row.tags,
            size=same.scalar_subquery() if size is None else size,
            at=row.updated_at,
            author=caller.author,
            client=caller.client,
        )
    )


async def replace_text(connection: AsyncConnection, row: Any, text: str) -> None:
    await _keep(connection, row, "text", select(note_texts.c.text))
    await connection.execute(update(note_texts).where(note_texts.c.key == row.key).values(text=text))
    await put_links(connection, row.key, text)


async def append_text(connection: AsyncConnection, row: Any, text: str) -> str:
    """Adds a line; the whole text."""
    old = note_texts.c.text
    await _keep(connection, row, "kept", select(func.length(old)))
    unended = (func.length(old) > 0) & (func.substr(old, -1) != "\n")
    whole = old.concat(case((unended, "\n"), else_="")).concat(text)
    statement = update(note_texts).where(note_texts.c.key == row.key).values(text=whole).returning(old)
    new: str = (await connection.execute(statement)).scalar_one()
    await put_links(connection, row.key, new)
    return new


async def text_of(connection: AsyncConnection, key: int) -> str:
    text: str = (
        await connection.execute(select(note_texts.c.text).where(note_texts.c.key == key))
    ).scalar_one()
    return text


async def put_tags(connection: AsyncConnection, key: int, tags: tuple[str, ...]) -> None:
    await connection.execute(delete(note_tags).where(note_tags.c.note_key == key))
    if tags:
        await connection.execute(insert(note_tags), tag_rows(key, tags))


async def put_links(connection: AsyncConnection, key: int, text: str) -> None:
    await connection.execute(delete(note_links).where(note_links.c.note_key == key))
    if links := link_rows(key, text):
        await connection.execute(insert(note_links), links)


def tag_rows(key: int, tags: tuple[str, ...]) -> list[dict[str, Any]]:
    return [{"note_key": key, "folded": folded(tag), "tag": tag} for tag in tags]


def link_rows(key: int, text: str) -> list[dict[str, Any]]:
    return [{"note_key": key, "target": target} for target in link_targets(text)]


async def _keep(connection: AsyncConnection, row: Any, column: str, old: Select[Any]) -> None:
    """Lets the revision before this one keep its text: `text`, or how much of the new one it is: `kept`."""
    value = old.where(note_texts.c.key == row.key).scalar_subquery()
    before = (revisions.c.note_key == row.key) & (revisions.c.version == row.version - 1)
    await connection.execute(update(revisions).where(before).values({column: value}))

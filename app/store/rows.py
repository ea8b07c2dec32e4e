"""Between rows and notes, and the one condition that every query carries: is the note visible."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import BindParameter, ColumnElement, exists, false, func, or_, true

from app.notes.models import Caller, Note, NoteNotFound
from app.notes.valid import open_names, shown_space
from app.store.tables import note_tags, notes

COLUMNS = (
    notes.c.id,
    notes.c.space,
    notes.c.title,
    notes.c.tags,
    notes.c.version,
    notes.c.created_at,
    notes.c.updated_at,
    notes.c.deleted_at,
)


def note_of(caller: Caller, row: Any, text: str = "") -> Note:
    """The note from a row that begins with COLUMNS."""
    note_id, space, title, tags, version, created_at, updated_at, deleted_at = row[: len(COLUMNS)]
    return Note(
        id=note_id,
        space=shown_space(caller, space),
        title=title,
        text=text,
        tags=tuple(json.loads(tags)),
        version=version,
        created_at=created_at,
        updated_at=updated_at,
        deleted_at=deleted_at,
    )


def visible(caller: Caller, table: Any = notes) -> ColumnElement[bool]:
    """True for notes (also deleted ones) in the spaces that the caller's rules open."""
    if caller.spaces.every:
        return true()
    named = open_names(caller)
    either: list[ColumnElement[bool]] = []
    if named:
        either.append(table.c.space.in_(sorted(named)))
    if caller.spaces.shared:
        either.append(func.substr(table.c.space, 1, 1) != "~")
    return or_(*either) if either else false()


def live(caller: Caller, table: Any = notes) -> ColumnElement[bool]:
    condition: ColumnElement[bool] = visible(caller, table) & table.c.deleted_at.is_(None)
    return condition


def tagged(folded_tag: str | BindParameter[str]) -> ColumnElement[bool]:
    return exists().where(note_tags.c.note_key == notes.c.key, note_tags.c.folded == folded_tag)


def missing(note_id: str) -> NoteNotFound:
    """The same words for a note that is nowhere and one in a closed space."""
    return NoteNotFound(f"There is no note with the id {note_id[:60]!r}. search and list_notes give ids.")


def deleted() -> NoteNotFound:
    return NoteNotFound("This note is deleted. restore_note with its id brings it back.")

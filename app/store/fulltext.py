"""Full-text search on SQLite FTS5: the index and its queries. All SQL that only SQLite knows is here.

The index keeps no copy of the text (external content) and holds live notes only. Triggers follow every
change of a note; new notes are put in by `INDEX_NEW`, because a trigger makes FTS5 write its index to disk
after each row (half the speed of an import). Scores are BM25, a hit in the title counts eight times.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import text

from app.notes.models import Caller
from app.notes.query import Query, fts_match
from app.notes.valid import open_names
from app.store.tables import notes

SNIPPET_WORDS = 32

CREATE_INDEX = (
    """CREATE VIEW note_contents AS
       SELECT notes.key AS key, notes.title AS title, note_texts.text AS text
       FROM notes JOIN note_texts ON note_texts.key = notes.key""",
    """CREATE VIRTUAL TABLE notes_fts USING fts5(
       title, text, content='note_contents', content_rowid='key',
       tokenize='unicode61 remove_diacritics 2')""",
    "INSERT INTO notes_fts(notes_fts, rank) VALUES('rank', 'bm25(8.0, 1.0)')",
    """CREATE TRIGGER notes_fts_text AFTER UPDATE OF text ON note_texts WHEN old.text <> new.text BEGIN
       INSERT INTO notes_fts(notes_fts, rowid, title, text)
         SELECT 'delete', key, title, old.text FROM notes WHERE key = new.key AND deleted_at IS NULL;
       INSERT INTO notes_fts(rowid, title, text)
         SELECT key, title, new.text FROM notes WHERE key = new.key AND deleted_at IS NULL;
       END""",
    """CREATE TRIGGER notes_fts_title AFTER UPDATE OF title ON notes
       WHEN old.title <> new.title AND old.deleted_at IS NULL AND new.deleted_at IS NULL BEGIN
       INSERT INTO notes_fts(notes_fts, rowid, title, text)
         SELECT 'delete', key, old.title, text FROM note_texts WHERE key = new.key;
       INSERT INTO notes_fts(rowid, title, text)
         SELECT key, new.title, text FROM note_texts WHERE key = new.key;
       END""",
    """CREATE TRIGGER notes_fts_hide AFTER UPDATE OF deleted_at ON notes
       WHEN old.deleted_at IS NULL AND new.deleted_at IS NOT NULL BEGIN
       INSERT INTO notes_fts(notes_fts, rowid, title, text)
         SELECT 'delete', key, old.title, text FROM note_texts WHERE key = new.key;
       END""",
    """CREATE TRIGGER notes_fts_show AFTER UPDATE OF deleted_at ON notes
       WHEN old.deleted_at IS NOT NULL AND new.deleted_at IS NULL BEGIN
       INSERT INTO notes_fts(rowid, title, text)
         SELECT key, new.title, text FROM note_texts WHERE key = new.key;
       END""",
)

_COLUMNS = """n.id, n.space, n.title, n.tags, n.version, n.created_at, n.updated_at, n.deleted_at"""


INDEX_NEW = text(
    "INSERT INTO notes_fts(rowid, title, text) SELECT key, title, text FROM note_contents WHERE key >= :first"
)

# For a restore: the index anew, from what is in the tables.
EMPTY_INDEX = "INSERT INTO notes_fts(notes_fts) VALUES('delete-all')"
INDEX_LIVE = (
    "INSERT INTO notes_fts(rowid, title, text) SELECT key, title, text FROM note_contents "
    "WHERE key IN (SELECT key FROM notes WHERE deleted_at IS NULL)"
)


def ranked(
    caller: Caller,
    query: Query,
    *,
    space: str | None,
    tags: tuple[str, ...],
) -> tuple[str, dict[str, Any]]:
    """Best first, `:count` of them after the first `:passed`. Rows: the note's columns, snippet.

    The rank itself stays inside: it is made of all notes, so it would tell how many closed ones have a word.

    FTS5 sorts by rank itself, notes of equal rank in the order of their keys, and is asked for snippets of
    those rows only that come out. CROSS JOIN: it has to be the outer loop for that.
    """
    where, values = _filter(caller, space=space, tags=(*tags, *query.tags))
    values |= {"match": fts_match(query)}
    # S608: only words of this module are put into the SQL; what a caller says is bound.
    sql = f"""
        SELECT {_COLUMNS}, snippet(notes_fts, 1, '', '', '…', {SNIPPET_WORDS})
        FROM notes_fts f CROSS JOIN notes n ON n.key = f.rowid
        WHERE {" AND ".join(["f.notes_fts MATCH :match", *where])}
        ORDER BY f.rank LIMIT :count OFFSET :passed"""  # noqa: S608
    return sql, values


# The notes to leave out of a walk.
NOT_MATCHING = text("SELECT rowid FROM notes_fts WHERE notes_fts MATCH :unwanted").columns(notes.c.key)


def _filter(caller: Caller, *, space: str | None, tags: tuple[str, ...]) -> tuple[list[str], dict[str, Any]]:
    """Conditions on `n`; none for a caller who sees everything and asks for everything."""
    where: list[str] = []
    values: dict[str, Any] = {}
    if space is not None:
        where.append("n.space = :space")
        values["space"] = space
    elif not caller.spaces.every:
        shared = "substr(n.space, 1, 1) <> '~' OR " if caller.spaces.shared else ""
        where.append(f"({shared}n.space IN (SELECT value FROM json_each(:spaces)))")  # noqa: S608
        values["spaces"] = json.dumps(sorted(open_names(caller)))
    for index, tag in enumerate(dict.fromkeys(tags)):
        same = f"g.note_key = n.key AND g.folded = :tag{index}"
        where.append(f"EXISTS (SELECT 1 FROM note_tags g WHERE {same})")  # noqa: S608
        values[f"tag{index}"] = tag
    return where, values

"""Import and export of notes in bulk, beside a running server: synchronous, many notes per transaction."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, Table, bindparam, delete, func, insert, select, update

from app.notes.files import Outcome, Source, decide_import
from app.notes.markdown import MarkdownFile
from app.notes.models import Caller
from app.notes.valid import folded
from app.store.changes import link_rows, tag_rows, tags_json
from app.store.engine import writing
from app.store.fulltext import INDEX_NEW
from app.store.rows import live
from app.store.tables import note_links, note_sources, note_tags, note_texts, notes, revisions

CHUNK = 500


@dataclass(frozen=True, slots=True)
class Incoming:
    """A file to import. `space` is where a new note goes."""

    path: str
    space: str
    sha256: str
    file: MarkdownFile


@dataclass(frozen=True, slots=True)
class Exported:
    """A note to export, with the file it came from."""

    key: int
    space: str
    title: str
    text: str
    tags: tuple[str, ...]
    version: int
    source: Source | None


class NoteFiles:
    """The notes of a database as a folder of files. `caller` is the author of the revisions."""

    def __init__(
        self, engine: Engine, caller: Caller, *, now: Callable[[], float], new_id: Callable[[], str]
    ) -> None:
        self._engine = engine
        self._caller = caller
        self._now = now
        self._new_id = new_id

    def sources(self, space: str | None) -> dict[str, Source]:
        """By path. Without a space: of all, where two have the same path the one imported first."""
        with self._engine.connect() as connection:
            return _sources(connection, space)

    def put(self, files: list[Incoming], *, space: str | None, force: bool) -> list[Outcome]:
        """Imports the files in one transaction; one outcome for each. Nothing is kept if it raises."""
        with writing(self._engine) as connection:
            known = _sources(connection, space, [file.path for file in files])
            outcomes: list[Outcome] = []
            new: list[Incoming] = []
            for file in files:
                source = known.get(file.path)
                outcome = decide_import(source, file.sha256, force=force)
                if source is None:
                    new.append(file)
                elif outcome in ("updated", "conflict"):
                    outcome = self._replace(connection, source, file, outcome)
                outcomes.append(outcome)
            if new:
                self._add(connection, new)
            return outcomes

    def export(self, space: str | None) -> Iterator[Exported]:
        """Live notes, oldest first."""
        last = 0
        while chunk := self._chunk(space, after=last):
            yield from chunk
            last = chunk[-1].key

    def count(self, space: str | None) -> int:
        query = select(func.count()).select_from(notes).where(live(self._caller))
        with self._engine.connect() as connection:
            total = connection.scalar(query.where(notes.c.space == space) if space else query)
            return int(total or 0)

    def mark_exported(self, written: list[tuple[Exported, str, str]]) -> None:
        """Remembers (note, path, SHA-256 of the file), so that a later import knows the file."""
        if not written:
            return
        with writing(self._engine) as connection:
            for note, path, sha256 in written:
                values: dict[str, Any] = {"path": path, "exported": sha256, "version": note.version}
                if note.source is None:
                    new = values | {
                        "sha256": sha256,
                        "prefix": b"",
                        "space": note.space,
                        "note_key": note.key,
                    }
                    statement = insert(note_sources).prefix_with("OR IGNORE", dialect="sqlite")
                    connection.execute(statement.values(new))
                else:
                    mine = note_sources.c.note_key == note.key
                    # The path may be that of a deleted note: then the source keeps its old one.
                    moved = update(note_sources).prefix_with("OR IGNORE", dialect="sqlite")
                    connection.execute(moved.where(mine).values(values))

    def _add(self, connection: Connection, files: list[Incoming]) -> None:
        key = connection.scalar(select(func.coalesce(func.max(notes.c.key), 0))) or 0
        seq = connection.scalar(select(func.coalesce(func.max(revisions.c.seq), 0))) or 0
        at = self._now()
        rows: dict[Table, list[dict[str, Any]]] = {}
        for new in files:
            key, seq = key + 1, seq + 1
            file = new.file
            named = {
                "title": file.title,
                "folded": folded(file.title),
                "tags": tags_json(file.tags),
                "version": 1,
            }
            note = {"key": key, "id": self._new_id(), "space": new.space, "changed": seq, **named}
            rows.setdefault(notes, []).append(note | {"created_at": at, "updated_at": at})
            rows.setdefault(note_texts, []).append({"key": key, "text": file.text})
            revision = {"seq": seq, "note_key": key, "action": "import", "at": at, **named}
            size = len(file.text.encode())
            rows.setdefault(revisions, []).append(revision | {"size": size, "author": self._caller.author})
            rows.setdefault(note_tags, []).extend(tag_rows(key, file.tags))
            rows.setdefault(note_links, []).extend(link_rows(key, file.text))
            source = {"space": new.space, "path": new.path, "note_key": key, "sha256": new.sha256}
            rows.setdefault(note_sources, []).append(source | {"version": 1, "prefix": file.prefix})
        for table, values in rows.items():
            if values:
                connection.execute(insert(table), values)
        connection.execute(INDEX_NEW, {"first": rows[notes][0]["key"]})

    def _replace(self, connection: Connection, source: Source, new: Incoming, outcome: Outcome) -> Outcome:
        file, key = new.file, source.note_key
        own = notes.c.key == key
        old = connection.execute(
            select(notes, note_texts.c.text).join(note_texts, note_texts.c.key == notes.c.key).where(own)
        ).one()
        values: dict[str, Any] = {
            "title": file.title,
            "folded": folded(file.title),
            "tags": tags_json(file.tags),
        }
        same = (old.title, old.tags, old.text) == (file.title, values["tags"], file.text)
        if outcome == "conflict" and (not same or old.deleted_at is not None):
            return "conflict"
        version = old.version
        if not same or old.deleted_at is not None:
            version += 1
            self._revise(connection, old, file, values | {"version": version, "deleted_at": None})
        connection.execute(
            update(note_sources)
            .where(note_sources.c.note_key == key)
            .values(sha256=new.sha256, exported=None, version=version, prefix=file.prefix)
        )
        return "updated" if version > old.version else "unchanged"

    def _revise(self, connection: Connection, old: Any, file: MarkdownFile, values: dict[str, Any]) -> None:
        seq = (connection.scalar(select(func.max(revisions.c.seq))) or 0) + 1
        at = self._now()
        connection.execute(
            update(revisions)
            .where(revisions.c.note_key == old.key, revisions.c.version == old.version)
            .values(text=old.text)
        )
        connection.execute(
            update(notes).where(notes.c.key == old.key).values(values | {"changed": seq, "updated_at": at})
        )
        connection.execute(update(note_texts).where(note_texts.c.key == old.key).values(text=file.text))
        named = {name: values[name] for name in ("title", "folded", "tags", "version")}
        revision = named | {"seq": seq, "note_key": old.key, "action": "import", "at": at}
        size = len(file.text.encode())
        connection.execute(insert(revisions).values(revision | {"size": size, "author": self._caller.author}))
        for table, rows in (
            (note_tags, tag_rows(old.key, file.tags)),
            (note_links, link_rows(old.key, file.text)),
        ):
            connection.execute(delete(table).where(table.c.note_key == old.key))
            if rows:
                connection.execute(insert(table), rows)

    def _chunk(self, space: str | None, *, after: int) -> list[Exported]:
        query = select(notes, note_texts.c.text).join(note_texts, note_texts.c.key == notes.c.key)
        query = query.where(live(self._caller), notes.c.key > after).order_by(notes.c.key).limit(CHUNK)
        if space:
            query = query.where(notes.c.space == space)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
            keys = [row.key for row in rows]
            found = connection.execute(_source_query().where(notes.c.key.in_(keys)))
            sources = {row.note_key: Source(*row) for row in found}
        return [
            Exported(
                row.key,
                row.space,
                row.title,
                row.text,
                tuple(json.loads(row.tags)),
                row.version,
                sources.get(row.key),
            )
            for row in rows
        ]


def _source_query() -> Any:
    s = note_sources.c
    return select(
        s.space,
        s.path,
        s.note_key,
        notes.c.version.label("note_version"),
        s.version,
        s.sha256,
        s.exported,
        s.prefix,
    ).join(notes, notes.c.key == s.note_key)


def _sources(connection: Connection, space: str | None, paths: list[str] | None = None) -> dict[str, Source]:
    query = _source_query().order_by(note_sources.c.note_key.desc())
    if space is not None:
        query = query.where(note_sources.c.space == space)
    if paths is not None:
        query = query.where(note_sources.c.path.in_(bindparam("paths", paths, expanding=True)))
    return {row.path: Source(*row) for row in connection.execute(query)}

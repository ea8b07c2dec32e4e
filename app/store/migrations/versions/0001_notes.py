"""Notes, their revisions, tags, links, sources, and the full-text index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "notes",
        sa.Column("key", key, primary_key=True),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("space", sa.String(320), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("folded", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("changed", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
        sa.Column("deleted_at", sa.Float),
    )
    op.create_index("notes_by_change", "notes", ["changed"], unique=True)
    op.create_index("notes_by_space", "notes", ["space", "changed"])
    op.create_index("notes_by_title", "notes", ["folded", "key"])
    op.create_table(
        "note_texts",
        sa.Column("key", key, sa.ForeignKey("notes.key"), primary_key=True, autoincrement=False),
        sa.Column("text", sa.Text, nullable=False),
    )
    op.create_table(
        "revisions",
        sa.Column("seq", key, primary_key=True),
        sa.Column("note_key", key, sa.ForeignKey("notes.key"), nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("action", sa.String(10), nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("folded", sa.Text, nullable=False),
        sa.Column("tags", sa.Text, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("author", sa.Text, nullable=False),
        sa.Column("client", sa.Text),
        sa.Column("kept", sa.Integer),
        sa.Column("text", sa.Text),
        sa.UniqueConstraint("note_key", "version"),
    )
    op.create_table(
        "note_tags",
        sa.Column("folded", sa.Text, primary_key=True),
        sa.Column("note_key", key, sa.ForeignKey("notes.key"), primary_key=True),
        sa.Column("tag", sa.String(64), nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("note_tags_by_note", "note_tags", ["note_key"])
    op.create_table(
        "note_links",
        sa.Column("note_key", key, sa.ForeignKey("notes.key"), primary_key=True),
        sa.Column("target", sa.Text, primary_key=True),
        sqlite_with_rowid=False,
    )
    op.create_index("note_links_by_target", "note_links", ["target"])
    op.create_table(
        "note_sources",
        sa.Column("space", sa.String(320), primary_key=True),
        sa.Column("path", sa.Text, primary_key=True),
        sa.Column("note_key", key, sa.ForeignKey("notes.key"), nullable=False, unique=True),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("exported", sa.String(64)),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("prefix", sa.LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    for statement in FULL_TEXT:
        op.execute(statement)


FULL_TEXT = (
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

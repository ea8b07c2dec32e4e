"""The tables of the Brain as they are at SCHEMA. Migrations lead up to the same tables; a test compares.

Times are seconds since the epoch. `folded` is a name without upper and lower case.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

SCHEMA = "0003"  # the newest migration
KNOWN_SCHEMAS = ("0001", "0002", "0003")  # all migrations, oldest first

metadata = MetaData()
_Key = BigInteger().with_variant(Integer, "sqlite")  # only INTEGER is SQLite's row id

# Text has a table of its own: rows of `notes` stay small, so lists and filters read few pages.
notes = Table(
    "notes",
    metadata,
    Column("key", _Key, primary_key=True),
    Column("id", String(36), nullable=False, unique=True),
    Column("space", String(320), nullable=False),
    Column("title", String(200), nullable=False),
    Column("folded", Text, nullable=False),
    Column("tags", Text, nullable=False),  # JSON list, as written
    Column("version", Integer, nullable=False),
    Column("changed", BigInteger, nullable=False),  # seq of the newest revision
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("deleted_at", Float),
    Index("notes_by_change", "changed", unique=True),
    Index("notes_by_space", "space", "changed"),
    Index("notes_by_title", "folded", "key"),
)

note_texts = Table(
    "note_texts",
    metadata,
    Column("key", _Key, ForeignKey("notes.key"), primary_key=True, autoincrement=False),
    Column("text", Text, nullable=False),
)

# One row per change. The newest revision has the text of the note; an older one keeps its own in `text`,
# or is the first `kept` characters of the next one (an append), or equals the next one (both null).
revisions = Table(
    "revisions",
    metadata,
    Column("seq", _Key, primary_key=True),
    Column("note_key", ForeignKey("notes.key"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("action", String(10), nullable=False),
    Column("title", String(200), nullable=False),
    Column("folded", Text, nullable=False),
    Column("tags", Text, nullable=False),
    Column("size", Integer, nullable=False),
    Column("at", Float, nullable=False),
    Column("author", Text, nullable=False),
    Column("client", Text),
    Column("kept", Integer),
    Column("text", Text),
    UniqueConstraint("note_key", "version"),
)

note_tags = Table(
    "note_tags",
    metadata,
    Column("folded", Text, primary_key=True),
    Column("note_key", ForeignKey("notes.key"), primary_key=True),
    Column("tag", String(64), nullable=False),
    Index("note_tags_by_note", "note_key"),
    sqlite_with_rowid=False,
)

# Links name a title; the note that has it is looked up when asked, so notes written later link up.
note_links = Table(
    "note_links",
    metadata,
    Column("note_key", ForeignKey("notes.key"), primary_key=True),
    Column("target", Text, primary_key=True),
    Index("note_links_by_target", "target"),
    sqlite_with_rowid=False,
)

# Where an imported note came from: with the prefix it can be written back byte for byte.
note_sources = Table(
    "note_sources",
    metadata,
    Column("space", String(320), primary_key=True),
    Column("path", Text, primary_key=True),  # below the imported folder, with /
    Column("note_key", ForeignKey("notes.key"), nullable=False, unique=True),
    Column("sha256", String(64), nullable=False),  # of the file as it was imported
    Column("exported", String(64)),  # SHA-256 of the file as it was last exported
    Column("version", Integer, nullable=False),  # of the note when the two were last the same
    Column("prefix", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# The audit log: a chain of records, and its end. Columns are those of the record (app/audit/chain.py).
audit = Table(
    "audit",
    metadata,
    Column("seq", _Key, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False),  # milliseconds
    Column("request_id", Text, nullable=False),
    Column("cf_ray", Text, nullable=False),
    Column("door", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("groups", Text, nullable=False),  # JSON list
    Column("operation", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("args_sha256", Text, nullable=False),
    Column("args", Text, nullable=False),  # JSON object, or empty
    Column("decision", Text, nullable=False),
    Column("rules", Text, nullable=False),  # JSON list
    Column("reason", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("ms", Float, nullable=False),
    Column("prev", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    Index("audit_by_principal", "principal", "seq"),
)

audit_head = Table(
    "audit_head",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),  # always 1
    Column("seq", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
    Column("seal", String(64), nullable=False),
)

# The kill switch: who and what is shut off, until it is taken back.
denies = Table(
    "denies",
    metadata,
    Column("target", Text, primary_key=True),  # an e-mail, a service token's id, tool:NAME or door:tunnel
    Column("at", Float, nullable=False),
    Column("by", Text, nullable=False),
)

# The authorization server (app/oauth/models.py). Codes, tokens and transaction ids are SHA-256 in hex.
oauth_clients = Table(
    "oauth_clients",
    metadata,
    Column("id", Text, primary_key=True),
    Column("origin", String(12), nullable=False),
    Column("name", Text, nullable=False),
    Column("redirect_uris", Text, nullable=False),  # JSON lists, here and below
    Column("auth_methods", Text, nullable=False),
    Column("grant_types", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("last_used_at", Float),
    Column("uri", Text),
    Column("secret_sha256", String(64)),
    Column("secret_expires_at", Float),
    Column("jwks", Text),  # JSON object
    Column("jwks_uri", Text),
)

oauth_requests = Table(
    "oauth_requests",
    metadata,
    Column("id_sha256", String(64), primary_key=True),
    Column("principal_id", Text, nullable=False),
    Column("browser_sha256", String(64), nullable=False),
    Column("client_id", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("redirect_given", Integer, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("state", Text),
    Column("code_challenge", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
)

oauth_grants = Table(
    "oauth_grants",
    metadata,
    Column("id", Text, primary_key=True),
    Column("principal_id", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("client_id", Text, nullable=False),
    Column("client_fingerprint", String(64), nullable=False),
    Column("redirect_host", Text, nullable=False),
    Column("scopes", Text, nullable=False),
    Column("groups", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("last_used_at", Float),
    Column("revoked_at", Float),
    Index("oauth_grants_by_person", "principal_id", "client_id"),
    Index("oauth_grants_by_client", "client_id"),
)

oauth_codes = Table(
    "oauth_codes",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("grant_id", ForeignKey("oauth_grants.id", ondelete="CASCADE"), nullable=False),
    Column("client_id", Text, nullable=False),
    Column("redirect_uri", Text, nullable=False),
    Column("redirect_given", Integer, nullable=False),
    Column("code_challenge", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("used_at", Float),
    Column("tries", Integer, nullable=False),
    Index("oauth_codes_by_grant", "grant_id"),
)

oauth_refresh_tokens = Table(
    "oauth_refresh_tokens",
    metadata,
    Column("sha256", String(64), primary_key=True),
    Column("grant_id", ForeignKey("oauth_grants.id", ondelete="CASCADE"), nullable=False),
    Column("client_id", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("rotated_at", Float),
    Column("succeeded_at", Float),
    Column("parent_sha256", String(64)),
    Index("oauth_refresh_by_grant", "grant_id"),
)

# What was revoked and would still be believed: a whole grant, or one access token by its jti.
oauth_revocations = Table(
    "oauth_revocations",
    metadata,
    Column("seq", _Key, primary_key=True),
    Column("grant_id", Text),
    Column("jti", Text),
    Column("until", Float, nullable=False),
    Index("oauth_revocations_by_end", "until"),
)

# Assertions of clients that were used (RFC 7523 §3).
oauth_jtis = Table(
    "oauth_jtis",
    metadata,
    Column("client_id", Text, primary_key=True),
    Column("jti", Text, primary_key=True),
    Column("until", Float, nullable=False),
    sqlite_with_rowid=False,
)

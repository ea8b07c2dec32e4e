"""The inner authorization server: clients, consents, codes, refresh tokens, revocations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def text(name: str, *, null: bool = False) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, sa.Text, nullable=null)


def number(name: str, *, null: bool = False) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, sa.Float, nullable=null)


def digest(name: str, *, null: bool = False, key: bool = False) -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(name, sa.String(64), nullable=null, primary_key=key)


def of_grant() -> sa.Column:  # type: ignore[type-arg]
    return sa.Column(
        "grant_id", sa.Text, sa.ForeignKey("oauth_grants.id", ondelete="CASCADE"), nullable=False
    )


def upgrade() -> None:
    op.create_table(
        "oauth_clients",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("origin", sa.String(12), nullable=False),
        *(text(name) for name in ("name", "redirect_uris", "auth_methods", "grant_types", "scopes")),
        digest("fingerprint"),
        number("created_at"),
        number("last_used_at", null=True),
        text("uri", null=True),
        digest("secret_sha256", null=True),
        number("secret_expires_at", null=True),
        text("jwks", null=True),
        text("jwks_uri", null=True),
    )
    op.create_table(
        "oauth_requests",
        digest("id_sha256", key=True),
        text("principal_id"),
        digest("browser_sha256"),
        text("client_id"),
        text("redirect_uri"),
        sa.Column("redirect_given", sa.Integer, nullable=False),
        text("scopes"),
        text("resource"),
        text("state", null=True),
        text("code_challenge"),
        number("expires_at"),
    )
    op.create_table(
        "oauth_grants",
        sa.Column("id", sa.Text, primary_key=True),
        *(text(name) for name in ("principal_id", "subject", "client_id")),
        digest("client_fingerprint"),
        *(text(name) for name in ("redirect_host", "scopes", "groups", "resource")),
        number("created_at"),
        number("expires_at"),
        number("last_used_at", null=True),
        number("revoked_at", null=True),
    )
    op.create_index("oauth_grants_by_person", "oauth_grants", ["principal_id", "client_id"])
    op.create_index("oauth_grants_by_client", "oauth_grants", ["client_id"])
    op.create_table(
        "oauth_codes",
        digest("sha256", key=True),
        of_grant(),
        text("client_id"),
        text("redirect_uri"),
        sa.Column("redirect_given", sa.Integer, nullable=False),
        text("code_challenge"),
        number("expires_at"),
        number("used_at", null=True),
        sa.Column("tries", sa.Integer, nullable=False),
    )
    op.create_index("oauth_codes_by_grant", "oauth_codes", ["grant_id"])
    op.create_table(
        "oauth_refresh_tokens",
        digest("sha256", key=True),
        of_grant(),
        text("client_id"),
        number("created_at"),
        number("expires_at"),
        number("rotated_at", null=True),
        number("succeeded_at", null=True),
        digest("parent_sha256", null=True),
    )
    op.create_index("oauth_refresh_by_grant", "oauth_refresh_tokens", ["grant_id"])
    key = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "oauth_revocations",
        sa.Column("seq", key, primary_key=True),
        text("grant_id", null=True),
        text("jti", null=True),
        number("until"),
    )
    op.create_index("oauth_revocations_by_end", "oauth_revocations", ["until"])
    op.create_table(
        "oauth_jtis",
        sa.Column("client_id", sa.Text, primary_key=True),
        sa.Column("jti", sa.Text, primary_key=True),
        number("until"),
        sqlite_with_rowid=False,
    )

"""Access tokens as the endpoints see them: made, and read again by introspection and revocation.

Subjects live in two namespaces that cannot meet (RFC 9068 §5): `person:` and the identity provider's own
id of a person, `client:` and a client id where a client acts for itself. An e-mail is in no token.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from app.errors import AppError

PERSON = "person:"
CLIENT = "client:"


@dataclass(frozen=True, slots=True)
class Minted:
    """A new access token, and how long it is good for."""

    token: str
    jti: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class TokenClaims:
    """What a token of ours says. `grant_id` of a token without a grant is its `client:` subject."""

    subject: str
    client_id: str
    scopes: frozenset[str]
    resource: str
    grant_id: str
    jti: str
    issued_at: float
    expires_at: float
    kid: str


class TokenRefused(AppError):
    """Not an access token of ours that is good now. `reason` is for the log alone."""

    code = "invalid_token"
    status = 401

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(
            "The access token is missing, expired, revoked or not for this server.", detail=detail
        )
        self.reason = reason


class Minting(Protocol):
    """Signing keys at work. Revocation is not asked here: `read` is about the token alone."""

    def mint(
        self,
        *,
        sub: str,
        client_id: str,
        scopes: Collection[str],
        resource: str,
        grant_id: str,
        now: float,
    ) -> Minted: ...

    def read(self, token: str, now: float) -> TokenClaims:
        """Raises TokenRefused. For introspection: anything refused is not active."""
        ...


def person_subject(subject: str) -> str:
    """`sub` of a token that acts for a person; `subject` as the grant keeps it."""
    return PERSON + subject


def client_subject(client_id: str) -> str:
    """`sub`, and `grant_id`, of a token by which a client acts for itself."""
    return CLIENT + client_id

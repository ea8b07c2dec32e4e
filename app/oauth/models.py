"""The nouns of the authorization server, and the store that keeps them.

Every code and token hangs off a Grant: one consent of one person for one client. Opaque values (codes,
refresh tokens, transaction ids, secrets) are kept as SHA-256 and are known in clear only to their owner.
Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal, Protocol

CODE_SECONDS = 60
REQUEST_SECONDS = 600  # a consent page that is older has to be started again
ACCESS_SECONDS = 900
REFRESH_IDLE_SECONDS = 30 * 86_400
GRANT_SECONDS = 180 * 86_400
# RFC 9700 §4.14.2 and what clients do: one that never saw the answer asks again with the old token.
REFRESH_GRACE_SECONDS = 60
UNUSED_CLIENT_SECONDS = 30 * 86_400
CODE_TRIES = 3

AuthMethod = Literal["none", "client_secret_basic", "client_secret_post", "private_key_jwt"]
Origin = Literal["registered", "document", "operator"]


@dataclass(frozen=True, slots=True)
class Client:
    """A client (RFC 6749 §2). `origin`: dynamic registration, a metadata document, or the operator's own.

    `auth_methods`: the ones it may use; a document can list several. `fingerprint` changes with the
    name, redirect URIs or keys: consent is then asked again. `scopes` caps client_credentials alone.
    """

    id: str
    origin: Origin
    name: str
    redirect_uris: tuple[str, ...]
    auth_methods: frozenset[AuthMethod]
    grant_types: frozenset[str]
    created_at: float
    fingerprint: str
    last_used_at: float | None = None
    uri: str | None = None
    secret_sha256: str | None = None
    secret_expires_at: float | None = None  # None: never
    jwks: Mapping[str, Any] | None = None
    jwks_uri: str | None = None
    scopes: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """A checked request that waits for its person's answer. Single use, bound to person and browser.

    `browser_sha256` is of the `__Host-` cookie's value. `redirect_given`: the request named its redirect
    URI, so the token request may have to (RFC 6749 §4.1.3).
    """

    id_sha256: str
    principal_id: str
    browser_sha256: str
    client_id: str
    redirect_uri: str
    redirect_given: bool
    scopes: tuple[str, ...]
    resource: str
    state: str | None
    code_challenge: str
    expires_at: float


@dataclass(frozen=True, slots=True)
class Grant:
    """One consent. `groups` is what was known of the person then; rules are asked again at every call."""

    id: str
    principal_id: str
    subject: str
    client_id: str
    client_fingerprint: str
    redirect_host: str
    scopes: frozenset[str]
    groups: frozenset[str]
    resource: str
    created_at: float
    expires_at: float
    last_used_at: float | None = None
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code. `used_at` stays, so that a replay is recognised (OAuth 2.1 §4.1.3)."""

    sha256: str
    grant_id: str
    client_id: str
    redirect_uri: str
    redirect_given: bool
    code_challenge: str
    expires_at: float
    used_at: float | None = None
    tries: int = 0


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One link of a grant's chain. `rotated_at`: it has a successor; `succeeded_at`: that one was used."""

    sha256: str
    grant_id: str
    client_id: str
    created_at: float
    expires_at: float
    rotated_at: float | None = None
    succeeded_at: float | None = None
    parent_sha256: str | None = None


class OAuthStore(Protocol):
    """Single use and rotation are one statement each, never read-then-write: races between processes.

    Failures of the storage raise AppError with status 503, never an answer that costs a client its session.
    """

    # Clients
    async def add_client(self, client: Client) -> None: ...
    async def find_client(self, client_id: str) -> Client | None: ...
    async def put_document_client(self, client: Client) -> None:
        """Adds or replaces a client of a metadata document."""
        ...

    async def touch_client(self, client_id: str, at: float) -> None: ...
    async def delete_client(self, client_id: str, now: float) -> bool:
        """With its grants and everything that hangs off them."""
        ...

    async def clients(self) -> tuple[Client, ...]: ...

    # Consent
    async def add_request(self, request: AuthorizationRequest) -> None: ...
    async def find_request(self, id_sha256: str, now: float) -> AuthorizationRequest | None: ...
    async def take_request(
        self, id_sha256: str, *, principal_id: str, browser_sha256: str, now: float
    ) -> AuthorizationRequest | None:
        """Atomically gets and deletes it, if it is this person's, this browser's, and not expired."""
        ...

    async def add_grant(self, grant: Grant, code: Code) -> None: ...
    async def find_grant(self, grant_id: str) -> Grant | None: ...
    async def grants(self, now: float, principal_id: str | None = None) -> tuple[Grant, ...]:
        """Live ones, newest first; of one person or of all."""
        ...

    async def approved(self, principal_id: str, client_id: str) -> tuple[Grant, ...]:
        """Newest first: the grants, also revoked ones, by which this person ever approved this client."""
        ...

    # Codes
    async def find_code(self, sha256: str) -> Code | None: ...
    async def use_code(self, sha256: str, now: float, refresh: RefreshToken | None = None) -> bool:
        """True for exactly one caller, if the code is unused and not expired.

        With `refresh` the first refresh token is kept in the same transaction: a code is never used up
        for nothing.
        """
        ...

    async def count_try(self, sha256: str) -> None: ...

    # Refresh tokens
    async def add_refresh(self, token: RefreshToken) -> None: ...
    async def find_refresh(self, sha256: str) -> RefreshToken | None: ...
    async def rotate_refresh(self, sha256: str, successor: RefreshToken, *, now: float, grace: float) -> bool:
        """Adds `successor` and marks the old one rotated, in one transaction; marks its parent succeeded.

        Whoever asks again within `grace` brings the same successor: then it is there already, and stays.
        False when the old one may not be used: rotated longer ago than `grace`, or its successor was used.
        """
        ...

    # Revocation, effective at once in every process
    async def revoke_grant(self, grant_id: str, now: float) -> bool: ...
    async def revoke_access_token(self, jti: str, *, until: float, now: float) -> None: ...
    async def use_jti(self, client_id: str, jti: str, until: float) -> bool:
        """RFC 7523 §3: True the first time, False for a replay."""
        ...

    async def touch_grant(self, grant_id: str, at: float) -> None: ...
    async def collect_garbage(self, now: float) -> int:
        """Expired requests, codes, tokens, revocations, unused clients. Returns how many rows are gone."""
        ...


class Revocations(Protocol):
    """What no longer counts, without a query per call. Up to date with every committed revocation."""

    def is_revoked(self, *, grant_id: str, jti: str) -> bool: ...


def fingerprint_of(value: str) -> str:
    """SHA-256 in hex: how opaque values are kept."""
    return sha256(value.encode()).hexdigest()

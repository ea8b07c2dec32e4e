"""The resource server: from an `Authorization` header to a Principal, and the challenges where there is none.

A token lets in for as long as it is good, its key is ours, and its grant stands: the last two are asked at
every call, in this process and without a query.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from app.access.claims import ascii_lower
from app.errors import AppError
from app.oauth.keys import SigningKeys
from app.oauth.minting import CLIENT, PERSON, TokenClaims, TokenRefused, person_subject
from app.oauth.models import Grant, Revocations
from app.oauth.tokens import take_apart
from app.principal import Principal

CACHE_SIZE = 10_000
MAX_HEADER = 16 * 1024
# RFC 6750 §2.1 with the scheme in any case (RFC 9110 §11.1); one token68.
_BEARER = re.compile(rb"(?i:bearer) +([A-Za-z0-9._~+/-]+=*)")

FindGrant = Callable[[str], Awaitable[Grant | None]]


class NoToken(AppError):
    """Nobody tried: no `error` in the challenge (RFC 6750 §3.1)."""

    code = "unauthorized"
    status = 401

    def __init__(self) -> None:
        super().__init__("An access token is needed. The WWW-Authenticate header says where to get one.")


class BadAuthorization(AppError):
    """RFC 6750 §3.1 invalid_request: more than one credential, or one that is not a token."""

    code = "invalid_request"
    status = 400


@dataclass(frozen=True, slots=True)
class Holder:
    """A token that was verified: what it says, and for whom it speaks."""

    claims: TokenClaims
    principal: Principal
    expires_at: float


class Bearer:
    """Verifies tokens of ours. Verified ones are believed again without arithmetic; the cache has digests.

    A token without a grant is of a client that acts for itself: it is a service principal with the id
    `client:<client_id>`, which rules name under `service_tokens` like a service token of Access.
    """

    def __init__(
        self,
        keys: SigningKeys,
        find_grant: FindGrant,
        revocations: Revocations,
        *,
        now: Callable[[], float],
        cache_size: int = CACHE_SIZE,
        first_sight: Callable[[Principal], None] = lambda _: None,
    ) -> None:
        """`first_sight` is told of every token that is new here and good."""
        self._keys, self._find_grant, self._revocations = keys, find_grant, revocations
        self._now, self._size, self._first_sight = now, cache_size, first_sight
        self._verified: dict[bytes, Holder] = {}

    async def __call__(self, token: bytes) -> Principal:
        """Raises TokenRefused (401), or what the store raises where it cannot say (503)."""
        digest = sha256(token).digest()
        known = self._verified.pop(digest, None)
        if known is None or not self._still_good(known):
            known = await self._verify(token)
            self._first_sight(known.principal)
        claims = known.claims
        # After all that was awaited: nothing can come between this answer and the call it is for.
        if self._revocations.is_revoked(grant_id=claims.grant_id, jti=claims.jti):
            raise TokenRefused("revoked")
        self._verified[digest] = known  # youngest again
        if len(self._verified) > self._size:
            del self._verified[next(iter(self._verified))]
        return known.principal

    def knows(self, token: bytes) -> bool:
        """Whether `token` was verified before and would pass (but for a revocation): no arithmetic."""
        known = self._verified.get(sha256(token).digest())
        return known is not None and self._still_good(known)

    def may_be_good(self, token: bytes) -> bool:
        """Whether `token` has the form of one and names a key of ours; as cheap, and no proof."""
        try:
            return self._keys.vouches_for(take_apart(token).kid, self._now())
        except TokenRefused:
            return False

    def _still_good(self, holder: Holder) -> bool:
        now = self._now()
        return now < holder.expires_at and self._keys.vouches_for(holder.claims.kid, now)

    async def _verify(self, token: bytes) -> Holder:
        now = self._now()
        claims = self._keys.read(token, now)
        if claims.subject.startswith(CLIENT):
            return Holder(claims, _client(claims), claims.expires_at)
        grant = await self._find_grant(claims.grant_id)
        if grant is None or grant.revoked_at is not None or now >= grant.expires_at:
            raise TokenRefused("no_grant")
        if grant.client_id != claims.client_id or person_subject(grant.subject) != claims.subject:
            raise TokenRefused("no_grant", "the grant is another's")
        return Holder(claims, _person(claims, grant), min(claims.expires_at, grant.expires_at))


def _person(claims: TokenClaims, grant: Grant) -> Principal:
    """The person by e-mail, as the policy names them; rules and ceiling are asked at every call."""
    email = ascii_lower(grant.principal_id)
    return Principal(
        kind="person",
        id=email,
        door="tunnel",
        email=email,
        subject=claims.subject.removeprefix(PERSON),
        groups=grant.groups,
        groups_complete=False,
        client=claims.client_id,
        token_scopes=claims.scopes,
    )


def _client(claims: TokenClaims) -> Principal:
    return Principal(
        kind="service",
        id=claims.subject,
        door="tunnel",
        client=claims.client_id,
        token_scopes=claims.scopes,
    )


def token_in(values: list[bytes]) -> bytes | None:
    """The token of the `Authorization` headers; None where nobody tried one. Raises BadAuthorization.

    A header alone counts: never the query, never a form (OAuth 2.1 §5.1).
    """
    if not values:
        return None
    if len(values) != 1:  # which of two is meant differs from hop to hop
        raise BadAuthorization("There is more than one Authorization header.")
    value = values[0]
    scheme, _, rest = value.partition(b" ")
    if scheme.lower() != b"bearer" or not rest.strip(b" "):
        return None  # another scheme, or no token: like nothing at all
    found = _BEARER.fullmatch(value) if len(value) <= MAX_HEADER else None
    if found is None:
        raise BadAuthorization("The Authorization header is not `Bearer` and one token.")
    return found[1]


def challenge(
    metadata_url: str, *, scopes: Iterable[str] = (), error: str | None = None, description: str = ""
) -> str:
    """The one `WWW-Authenticate` value (RFC 6750 §3, RFC 9728 §5.1, RFC 9110 §11.6.1)."""
    pairs = [
        ("error", error or ""),
        ("error_description", description if error else ""),
        ("scope", " ".join(sorted(scopes))),
        ("resource_metadata", metadata_url),
    ]
    return "Bearer " + ", ".join(f'{name}="{_quotable(value)}"' for name, value in pairs if value)


def _quotable(text: str) -> str:
    """RFC 6750 §3: printable ASCII; what would end the quoted-string is escaped."""
    plain = "".join(sign if " " <= sign <= "~" else "?" for sign in text)
    return plain.replace("\\", "\\\\").replace('"', '\\"')


class InsufficientScope(AppError):
    """More consent would help (RFC 6750 §3.1): 403, and the scopes to ask for."""

    code = "insufficient_scope"
    status = 403


class Challenges:
    """The challenges of one resource. `first`: the scopes that a client without a token is to ask for."""

    def __init__(self, metadata_url: str, first: Callable[[], Iterable[str]]) -> None:
        self._url, self._first = metadata_url, first

    def onto(self, refused: AppError) -> AppError:
        """`refused` with its challenge, where a refusal of this status has one."""
        if refused.status == 401:
            tried = not isinstance(refused, NoToken)
            refused.challenge = challenge(
                self._url,
                scopes=self._first(),
                error=TokenRefused.code if tried else None,
                description=refused.public,
            )
        elif isinstance(refused, BadAuthorization):
            refused.challenge = challenge(self._url, error=refused.code, description=refused.public)
        return refused

    def step_up(self, scopes: Iterable[str]) -> AppError:
        """For an operation that any of `scopes` opens, all of which the person may consent to."""
        wanted = sorted(scopes)
        refused = InsufficientScope(f"This needs more consent: {' or '.join(wanted)}.")
        refused.challenge = challenge(
            self._url, scopes=wanted, error=refused.code, description=refused.public
        )
        return refused

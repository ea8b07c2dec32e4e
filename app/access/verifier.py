"""From an assertion to an Identity: the cache of verified tokens, then the keys, then the claims."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

from app.access.claims import LEEWAY, MAX_BYTES, AssertionRefused, Identity, take_apart, verify
from app.access.jwks import KeySet

CACHE_SIZE = 10_000


class Verifier:
    """Verifies assertions of one team for a set of AUD tags.

    A verified token is believed again without arithmetic until its `exp`, as long as its key is still
    one of the team's. The cache is bounded; the least recently used goes first. It holds digests, not
    tokens.
    """

    def __init__(
        self,
        keys: KeySet,
        *,
        issuer: str,
        audiences: frozenset[str],
        now: Callable[[], float],
        cache_size: int = CACHE_SIZE,
        first_sight: Callable[[Identity], None] = lambda _: None,
    ) -> None:
        """`first_sight` is told of every assertion that is new here and good."""
        self._first_sight = first_sight
        self._keys, self._issuer, self._audiences, self._now = keys, issuer, audiences, now
        self._size = cache_size
        self._verified: dict[bytes, Identity] = {}

    async def __call__(self, token: bytes) -> Identity:
        """Raises AssertionRefused (401) or KeysUnavailable (503)."""
        if len(token) > MAX_BYTES:
            raise AssertionRefused("too_large", f"{len(token)} bytes")
        digest = sha256(token).digest()
        known = self._verified.pop(digest, None)
        if known is not None and self._still_good(known):
            self._verified[digest] = known  # youngest again
            return known
        parts = take_apart(token)
        key = await self._keys.key(parts.kid)
        identity = verify(parts, key, issuer=self._issuer, audiences=self._audiences, now=self._now())
        self._verified[digest] = identity
        self._first_sight(identity)
        if len(self._verified) > self._size:
            del self._verified[next(iter(self._verified))]
        return identity

    def knows(self, token: bytes) -> bool:
        """Whether `token` was verified before and would pass: one look, no arithmetic, no network."""
        known = self._verified.get(sha256(token).digest())
        return known is not None and self._still_good(known)

    def may_be_good(self, token: bytes) -> bool:
        """Whether `token` has the form of one and names a key of the team; as cheap, and no proof."""
        try:
            return self._keys.vouches_for(take_apart(token).kid)
        except AssertionRefused:
            return False

    def _still_good(self, identity: Identity) -> bool:
        return self._now() < identity.expires_at + LEEWAY and self._keys.vouches_for(identity.kid)

"""The signing keys of the team: memory, then the last good set on disk, then the network.

Closed on identity, open on outages: a set that was once good serves for as long as Cloudflare itself
keeps a rotated key valid, and no stranger can make us fetch more often than the cooldown says.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm
from jwt.exceptions import InvalidKeyError

from app.access.claims import MAX_KID, AssertionRefused, KeysUnavailable

log = logging.getLogger(__name__)

REFRESH_AFTER = 3600.0  # seconds: a set older than this is fetched anew while it goes on serving
STALE_AFTER = 7 * 86400.0  # Cloudflare keeps the previous key valid for 7 days after a rotation
CLOCK_STEP = 60.0  # a set from further in the future is the work of a wrong clock: its age is not known
COOLDOWN = 10.0  # between two fetches that unknown kids or failures asked for
UNKNOWN_FOR = 60.0  # how long a kid that a fetch did not bring is refused without another look
TIMEOUT = 5.0
MAX_BYTES = 256 * 1024
MAX_KEYS = 32
KEY_BITS = range(2048, 8193)


class BadKeySet(Exception):
    """An answer of the certs endpoint that is not a usable key set."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    keys: Mapping[str, RSAPublicKey]
    fetched_at: float


NONE = Snapshot({}, float("-inf"))


class KeySet:
    """The team's public keys by kid. One instance for the process; all methods on one event loop."""

    def __init__(
        self, url: str, http: httpx2.AsyncClient, now: Callable[[], float], cache_file: Path | None
    ) -> None:
        self._url, self._http, self._now, self._file = url, http, now, cache_file
        self._set = NONE if cache_file is None else _read(cache_file, url)
        self._fetching: asyncio.Task[None] | None = None
        self._failed_at = float("-inf")
        self._asked_at = float("-inf")  # the last fetch that an unknown kid asked for
        self._unknown = "", float("-inf")  # the kid that the newest fetch did not bring, and when

    @property
    def age(self) -> float:
        """Seconds since the newest good set was fetched; infinite without one, or if that is yet to come."""
        age = self._now() - self._set.fetched_at
        return age if age > -CLOCK_STEP else float("inf")

    def vouches_for(self, kid: str) -> bool:
        """Whether a token of `kid` that was verified before may still be believed."""
        self._refresh_ahead()  # else a withdrawn key would serve its known tokens until the set is stale
        return kid in self._set.keys and self.age < STALE_AFTER

    async def key(self, kid: str) -> RSAPublicKey:
        """The key `kid`. Raises AssertionRefused (no such key) or KeysUnavailable (cannot know)."""
        if self.age >= STALE_AFTER:
            await self._need_fresh()
        self._refresh_ahead()
        if (key := self._set.keys.get(kid)) is not None:
            return key
        return await self._unknown_key(kid)

    async def refresh(self) -> None:
        """Fetches now. For the start of the server and the doctor; failures are logged, not raised."""
        await asyncio.shield(self._fetch())

    def _refresh_ahead(self) -> None:
        """In the background: the request that notices goes on with what we have."""
        if self.age >= REFRESH_AFTER and self._may_retry():
            self._fetch()

    async def _need_fresh(self) -> None:
        if self._may_retry() or self._fetching is not None:
            await asyncio.shield(self._fetch())
        if self.age >= STALE_AFTER:
            raise KeysUnavailable(f"no usable keys from {self._url}", retry_after=int(COOLDOWN))

    async def _unknown_key(self, kid: str) -> RSAPublicKey:
        """A kid of first sight may be the new key of a rotation: one look, then the cooldown."""
        if self._may_look(kid):
            joined = self._fetching is not None  # one that began before this kid was seen proves nothing
            self._asked_at = self._now()
            await asyncio.shield(self._fetch())
            if (key := self._set.keys.get(kid)) is not None:
                return key
            if not joined and not self._failing():
                self._unknown = kid, self._now()
        if self._failing():
            raise KeysUnavailable(f"kid is new and {self._url} does not answer", retry_after=int(COOLDOWN))
        raise AssertionRefused("kid_unknown")

    def _failing(self) -> bool:
        """Whether the last fetch failed: then that a kid is not there says nothing."""
        return self._failed_at > self._set.fetched_at

    def _may_retry(self) -> bool:
        return self._now() - self._failed_at >= COOLDOWN

    def _may_look(self, kid: str) -> bool:
        unknown, since = self._unknown
        if kid == unknown and self._now() - since < UNKNOWN_FOR:
            return False
        if self._fetching is not None:
            return True  # joins the fetch that is under way
        return self._may_retry() and self._now() - self._asked_at >= COOLDOWN

    def _fetch(self) -> asyncio.Task[None]:
        """The one fetch in flight; starts it when there is none."""
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch_once())
        return self._fetching

    async def _fetch_once(self) -> None:
        try:
            body = await _download(self._http, self._url)
            keys = parse(body)
        except (httpx2.HTTPError, TimeoutError, BadKeySet) as problem:
            self._failed_at = self._now()
            log.warning(
                "signing keys not refreshed from %s: %s", self._url, problem or type(problem).__name__
            )
        else:
            self._set = Snapshot(keys, self._now())
            if self._file is not None:
                _write(self._file, self._url, body, self._set.fetched_at)
        finally:
            self._fetching = None


def parse(body: bytes) -> dict[str, RSAPublicKey]:
    """The RSA signing keys of a certs answer. Raises BadKeySet; an empty set is one.

    Reads `keys` alone: `public_cert` may be the outdated key (Cloudflare One, "Validate JWTs").
    """
    try:
        listed = json.loads(body)["keys"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise BadKeySet("no list of keys in the answer") from None
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise BadKeySet("not a list of keys of a sane length")
    keys = {kid: key for kid, key in map(_rsa_key, listed) if key is not None}
    if not keys:
        raise BadKeySet("not one usable RSA key in the answer")
    return keys


def _rsa_key(jwk: Any) -> tuple[str, RSAPublicKey | None]:
    """(kid, key); the key is None where this is not an RS256 signing key of a sane size."""
    if not isinstance(jwk, dict):
        return "", None
    kid = jwk.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID or jwk.get("kty") != "RSA" or "d" in jwk:
        return "", None
    if jwk.get("alg", "RS256") != "RS256" or jwk.get("use", "sig") != "sig":
        return kid, None
    if len(str(jwk.get("n"))) > KEY_BITS.stop // 5:
        return kid, None  # before any arithmetic on it
    try:
        key = RSAAlgorithm.from_jwk(jwk)
    except (InvalidKeyError, ValueError, TypeError, AttributeError):
        return kid, None
    usable = isinstance(key, RSAPublicKey) and key.key_size in KEY_BITS
    return kid, key if usable and isinstance(key, RSAPublicKey) else None


async def _download(http: httpx2.AsyncClient, url: str) -> bytes:
    async with asyncio.timeout(TIMEOUT):
        async with http.stream("GET", url, follow_redirects=False, timeout=TIMEOUT) as answer:
            if answer.status_code != 200:
                raise BadKeySet(f"HTTP {answer.status_code}")
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise BadKeySet(f"more than {MAX_BYTES} bytes")
            return bytes(body)


def _read(file: Path, url: str) -> Snapshot:
    """The last good set, if it is of this very URL. A spoilt file is as good as none."""
    try:
        kept = json.loads(file.read_bytes())
        if kept["url"] != url:
            return NONE
        return Snapshot(parse(json.dumps(kept["certs"]).encode()), float(kept["fetched_at"]))
    except FileNotFoundError:
        return NONE
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError, BadKeySet) as problem:
        log.warning("the kept signing keys in %s are not usable: %s", file, problem)
        return NONE


def _write(file: Path, url: str, body: bytes, fetched_at: float) -> None:
    """Whole or not at all; a full disk costs the copy, not the request."""
    kept = {"url": url, "fetched_at": fetched_at, "certs": json.loads(body)}
    temporary = file.with_suffix(".tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            json.dump(kept, out)
        temporary.replace(file)
    except OSError as problem:
        log.warning("the signing keys could not be kept in %s: %s", file, problem)

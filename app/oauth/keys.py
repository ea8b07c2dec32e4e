"""The signing keys: one file for all processes, made on first use, rotated with an overlap.

A new key is published before it signs (JWKS caches know it by then), and an old one is published until
the last token it signed has expired. Every process notices a rotation by looking at the file.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.errors import AppError
from app.oauth.minting import Minted, TokenClaims, TokenRefused
from app.oauth.models import ACCESS_SECONDS
from app.oauth.tokens import (
    Algorithm,
    Content,
    PrivateKey,
    PublicKey,
    mint,
    public_jwk,
    signed,
    take_apart,
    verify,
)
from app.strict import json_object

log = logging.getLogger("brain")

FOLDER = "oauth-keys"  # in DATA_DIR
JWKS_SECONDS = 300  # how long anybody may keep the key set (Cache-Control of /jwks)
# Published before it signs: longer than any cache of /jwks, and than it takes us to look at the file.
ANNOUNCED_SECONDS = 2 * JWKS_SECONDS
LOOK_EVERY = 0.5
RSA_BITS = 2048  # RFC 7518 §3.3

_Stamp = tuple[int, int, int]


class KeysUnusable(AppError):
    """The key file cannot be read or written; the sentence says what to do."""

    code = "keys_unusable"
    status = 503


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`signs_from`: until then it is only published. `until`: then it is gone; None while nobody follows."""

    kid: str
    algorithm: Algorithm
    private: PrivateKey
    public: PublicKey
    signs_from: float
    until: float | None


class SigningKeys:
    """The keys of DATA_DIR. Minting for the endpoints, and the look at a kid for the bearer check."""

    def __init__(
        self,
        data_dir: Path,
        *,
        algorithm: Algorithm,
        issuer: str,
        resource: str,
        now: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        """Makes the first key. `new_id`: at least 128 random bits, for kids and jtis. Raises KeysUnusable."""
        self._folder, self._file = data_dir / FOLDER, data_dir / FOLDER / "keys.json"
        self._algorithm, self._issuer, self._resource = algorithm, issuer, resource
        self._now, self._new_id = now, new_id
        self._stamp: _Stamp | None = None
        self._keys: dict[str, SigningKey] = {}
        self._looked_at = now()
        self._ensure()

    def mint(
        self,
        *,
        sub: str,
        client_id: str,
        scopes: Collection[str],
        resource: str,
        grant_id: str,
        now: float,
    ) -> Minted:
        self._look(now)
        key = self._signing(now)
        content = Content(sub, client_id, scopes, resource, grant_id)
        return mint(
            content,
            issuer=self._issuer,
            key=key.private,
            kid=key.kid,
            algorithm=key.algorithm,
            jti=self._new_id(),
            now=now,
        )

    def sign(self, claims: Mapping[str, Any], typ: str, now: float) -> str:
        """A JWT that is no access token: `typ` says what it is."""
        self._look(now)
        key = self._signing(now)
        return signed(claims, typ, key=key.private, kid=key.kid, algorithm=key.algorithm)

    def read(self, token: str | bytes, now: float) -> TokenClaims:
        """What a token of ours says. Raises TokenRefused; whether it was revoked is not asked here."""
        parts = take_apart(token if isinstance(token, bytes) else token.encode("utf-8", "replace"))
        if parts.kid not in self._keys:
            self._look(now, force=True)  # another process may have rotated just now
        key = self._keys.get(parts.kid)
        if key is None or not _alive(key, now):
            raise TokenRefused("kid_unknown")
        return verify(parts, key.public, key.algorithm, issuer=self._issuer, resource=self._resource, now=now)

    def vouches_for(self, kid: str, now: float) -> bool:
        """Whether a token of `kid` that was verified before may still be believed."""
        self._look(now)
        key = self._keys.get(kid)
        return key is not None and _alive(key, now)

    def jwks(self, now: float) -> dict[str, list[dict[str, str]]]:
        """RFC 7517 §5; what signs, what will sign, and what signed tokens that are good yet."""
        self._look(now)
        alive = [key for key in self._keys.values() if _alive(key, now)]
        return {"keys": [public_jwk(key.public, key.kid, key.algorithm) for key in alive]}

    def rotate(self, *, at_once: bool = False) -> str:
        """Makes a new key and returns its kid. `at_once`: a key got out; all tokens of all others die now."""
        now = self._now()
        with self._locked():
            self._read()
            kept = [] if at_once else [_retired(key, now) for key in self._keys.values() if _alive(key, now)]
            starts = now + ANNOUNCED_SECONDS if kept else now
            new = self._new_key(starts)
            self._write([*kept, new])
            self._read()
        return new.kid

    def _ensure(self) -> None:
        """At the start: a first key, or the first of another algorithm than so far."""
        with self._locked():
            self._read()
            now = self._now()
            alive = [key for key in self._keys.values() if _alive(key, now)]
            if any(key.algorithm == self._algorithm and key.until is None for key in alive):
                return
            kept = [_retired(key, now) for key in alive]
            self._write([*kept, self._new_key(now + ANNOUNCED_SECONDS if kept else now)])
            self._read()

    def _signing(self, now: float) -> SigningKey:
        """The newest that may sign. Between a rotation and its start that is the one before."""
        ready = [key for key in self._keys.values() if key.signs_from <= now and _alive(key, now)]
        if not ready:  # the clock was set back: better early than not at all
            ready = list(self._keys.values())
        return max(ready, key=lambda key: key.signs_from)

    def _new_key(self, signs_from: float) -> SigningKey:
        private: PrivateKey
        if self._algorithm == "RS256":
            private = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
        else:
            private = ec.generate_private_key(ec.SECP256R1())
        return SigningKey(self._new_id(), self._algorithm, private, private.public_key(), signs_from, None)

    def _look(self, now: float, *, force: bool = False) -> None:
        if not force and 0 <= now - self._looked_at < LOOK_EVERY:
            return
        self._looked_at = now
        try:
            if _stamp(self._file) != self._stamp:
                self._read()
                log.warning("the signing keys of the OAuth server were changed: %d now", len(self._keys))
        except (OSError, KeysUnusable) as problem:
            log.error("the signing keys stay as they were, %s is not usable: %s", self._file, problem)

    def _read(self) -> None:
        """Replaces what we have by what is in the file, if there is one. Raises KeysUnusable."""
        if (found := kept_keys(self._file)) is not None:
            self._keys, self._stamp = found

    def _write(self, keys: list[SigningKey]) -> None:
        """Whole or not at all, and on the disk before the first token is signed."""
        temporary = self._file.with_suffix(".tmp")
        try:
            with suppress(FileNotFoundError):
                temporary.unlink()  # of a process that died
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as out:
                json.dump({"keys": [_kept(key) for key in keys]}, out)
                out.flush()
                os.fsync(out.fileno())
            temporary.replace(self._file)
        except OSError as problem:
            raise KeysUnusable(f"{self._file} cannot be written: {problem.strerror}.") from None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Two processes that start together make one key."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.chmod(0o700)
            descriptor = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise KeysUnusable(f"{self._folder} cannot be used: {problem.strerror}.") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def kept_keys(file: Path) -> tuple[dict[str, SigningKey], _Stamp] | None:
    """What is in the key file, by kid; None without a file. Raises KeysUnusable."""
    try:
        with file.open("rb") as opened:
            seen = os.fstat(opened.fileno())
            if seen.st_mode & 0o077:
                raise KeysUnusable(f"{file} can be read by others. chmod 600 it, and rotate the keys.")
            listed = json_object(opened.read())["keys"]
            keys = {key.kid: key for key in map(_key, listed)}
            return keys, (seen.st_mtime_ns, seen.st_size, seen.st_ino)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as problem:
        raise KeysUnusable(f"{file} is not usable. Restore it, or move it away.") from problem


def _alive(key: SigningKey, now: float) -> bool:
    return key.until is None or now < key.until


def _retired(key: SigningKey, now: float) -> SigningKey:
    """Signs until the new one starts; its last token dies an access token's life later."""
    until = now + ANNOUNCED_SECONDS + ACCESS_SECONDS
    return SigningKey(
        key.kid, key.algorithm, key.private, key.public, key.signs_from, min(key.until or until, until)
    )


def _stamp(file: Path) -> _Stamp:
    seen = os.stat(file)
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def _key(kept: Any) -> SigningKey:
    private: Any = serialization.load_pem_private_key(kept["private"].encode(), password=None)
    right = (kept["algorithm"] == "RS256" and isinstance(private, rsa.RSAPrivateKey)) or (
        kept["algorithm"] == "ES256"
        and isinstance(private, ec.EllipticCurvePrivateKey)
        and isinstance(private.curve, ec.SECP256R1)
    )
    if not right or private.key_size < (RSA_BITS if kept["algorithm"] == "RS256" else 256):
        raise ValueError("not a key for its algorithm")
    until = kept["until"]
    return SigningKey(
        str(kept["kid"]),
        kept["algorithm"],
        private,
        private.public_key(),
        float(kept["signs_from"]),
        None if until is None else float(until),
    )


def _kept(key: SigningKey) -> dict[str, Any]:
    pem = key.private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {
        "kid": key.kid,
        "algorithm": key.algorithm,
        "signs_from": key.signs_from,
        "until": key.until,
        "private": pem.decode(),
    }

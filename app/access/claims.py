"""The rules of a Cloudflare Access application token: is it genuine, is it for us, who is it.

Pure: the token, the key and the time come in, an Identity or a refusal goes out.
Source: Cloudflare One, "Application token" and "Validate JWTs".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeGuard

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import RSAAlgorithm

from app.errors import AppError
from app.principal import Principal
from app.strict import base64url, json_object

ALGORITHM = "RS256"
MAX_BYTES = 16 * 1024
MAX_KID = 256
MAX_IDENTITY = 320  # RFC 5321 §4.5.3.1: 64 octets, "@", 255 octets
LEEWAY = 30.0  # seconds, both ways
# An application session may be set to one month at the most (Cloudflare One, "Session management").
MAX_LIFETIME = 32 * 86400.0

Reason = Literal[
    "missing",
    "duplicate",
    "too_large",
    "malformed",
    "alg",
    "header",
    "kid_missing",
    "kid_unknown",
    "bad_signature",
    "claims",
    "type",
    "iss",
    "aud",
    "expired",
    "not_yet_valid",
    "lifetime",
    "identity",
]

_RS256 = RSAAlgorithm(RSAAlgorithm.SHA256)
_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")  # RFC 7515 §7.1
# Headers that offer a key of the sender's own, or that we would have to understand (RFC 7515 §4.1.11).
_REFUSED_HEADERS = frozenset({"crit", "jku", "jwk", "x5u", "x5c", "b64", "zip", "enc"})


class AssertionRefused(AppError):
    """Not a credential that opens the door. The public answer is the same whatever the reason."""

    code = "unauthorized"
    status = 401

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__("A valid sign-in through Cloudflare Access is needed.", detail=detail)
        self.reason: Reason = reason


class KeysUnavailable(AppError):
    """Whether the credential is good cannot be said now: 503, so that clients keep their tokens."""

    code = "temporarily_unavailable"
    status = 503

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(
            "Sign-ins cannot be checked at the moment. Try again shortly.",
            detail=detail,
            retry_after=retry_after,
        )


class Token(NamedTuple):
    """A token taken apart, with nothing about it believed yet."""

    kid: str
    signing_input: bytes
    signature: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Identity:
    """What Access vouches for. `nonce` finds the person's full identity at Access; services have none."""

    principal: Principal
    expires_at: float
    kid: str
    nonce: str | None = None


def issuer_of(team: str) -> str:
    """`acme` → `https://acme.cloudflareaccess.com`; `acme.fed` likewise. `team` is already checked."""
    return f"https://{team}.cloudflareaccess.com"


def take_apart(token: bytes) -> Token:
    """Splits a compact JWS. Raises AssertionRefused; reads no more than the header."""
    if len(token) > MAX_BYTES:
        raise AssertionRefused("too_large", f"{len(token)} bytes")
    segments = _COMPACT.fullmatch(token)
    if segments is None:
        raise AssertionRefused("malformed", "not three segments of base64url")
    header, payload, signature = segments.groups()
    return Token(_kid(header), token[: segments.end(2)], _decode(signature), _decode(payload))


@lru_cache(maxsize=64)
def _kid(segment: bytes) -> str:
    """The kid of a JOSE header that we accept; all tokens of one key share their header."""
    header = _json_object(_decode(segment))
    if header.get("alg") != ALGORITHM:
        raise AssertionRefused("alg", "the algorithm is not RS256")
    if header.get("typ", "JWT") != "JWT":
        raise AssertionRefused("header", "typ is not JWT")
    if refused := _REFUSED_HEADERS & header.keys():
        raise AssertionRefused("header", f"header {sorted(refused)[0]}")
    kid = header.get("kid")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise AssertionRefused("kid_missing", "no usable kid")
    return kid


def verify(
    token: Token, key: RSAPublicKey, *, issuer: str, audiences: frozenset[str], now: float
) -> Identity:
    """The Identity that `token` proves. Raises AssertionRefused."""
    if not _RS256.verify(token.signing_input, key, token.signature):
        raise AssertionRefused("bad_signature")
    claims = _json_object(token.payload)
    if claims.get("type") != "app":
        raise AssertionRefused("type", "not an application token")
    if claims.get("iss") != issuer:
        raise AssertionRefused("iss", "another team")
    _check_audience(claims.get("aud"), audiences)
    expires_at = _check_times(claims, now)
    return Identity(_principal(claims), expires_at, token.kid, _nonce(claims))


def ascii_lower(text: str) -> str:
    """Lower case of A-Z alone: `lower()` would make one person of two (the Kelvin sign is not a k)."""
    return text.translate(_ASCII_LOWER)


_ASCII_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _check_audience(aud: object, audiences: frozenset[str]) -> None:
    # Documented as a list; old samples and other validators show a plain string.
    tags = [aud] if isinstance(aud, str) else aud
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise AssertionRefused("aud", "aud is neither a string nor a list of strings")
    if audiences.isdisjoint(tags):
        raise AssertionRefused("aud", "another application")


def _check_times(claims: Mapping[str, Any], now: float) -> float:
    expires_at = _time(claims, "exp")
    if expires_at is None:
        raise AssertionRefused("claims", "no exp")
    issued_at, not_before = _time(claims, "iat"), _time(claims, "nbf")
    if now >= expires_at + LEEWAY:
        raise AssertionRefused("expired", f"{now - expires_at:.0f} s ago")
    if max(issued_at or 0.0, not_before or 0.0) > now + LEEWAY:
        raise AssertionRefused("not_yet_valid")
    if expires_at - min(issued_at or now, now) > MAX_LIFETIME + LEEWAY:
        raise AssertionRefused("lifetime", "valid for longer than any Access session")
    return expires_at


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    """RFC 7519 §2 NumericDate. A bool is an int to Python and not a time to anybody."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise AssertionRefused("claims", f"{name} is not a time")
    return float(value)


def _principal(claims: Mapping[str, Any]) -> Principal:
    email, subject, name = (claims.get(claim) for claim in ("email", "sub", "common_name"))
    if _is_name(email) and "@" in email and _is_name(subject) and name in (None, ""):
        lowered = ascii_lower(email)
        return Principal(
            kind="person",
            id=lowered,
            door="tunnel",
            email=lowered,
            subject=subject,
            groups=_groups(claims.get("custom")),
            # Custom claims are trimmed from the end when they grow: what is there is true, what is
            # missing is not known.
            groups_complete=False,
        )
    if _is_name(name) and subject == "" and email in (None, ""):
        return Principal(kind="service", id=name, door="tunnel")
    raise AssertionRefused("identity", "neither a person nor a service token")


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= MAX_IDENTITY and value.isprintable()


def _groups(custom: object) -> frozenset[str]:
    """Groups as strings, or as objects with a name (it depends on the identity provider)."""
    listed = custom.get("groups") if isinstance(custom, dict) else None
    if not isinstance(listed, list):
        return frozenset()
    names = (group.get("name") if isinstance(group, dict) else group for group in listed)
    return frozenset(name for name in names if _is_name(name))


def _nonce(claims: Mapping[str, Any]) -> str | None:
    nonce = claims.get("identity_nonce")
    return nonce if isinstance(nonce, str) and 0 < len(nonce) <= MAX_KID else None


def _decode(segment: bytes) -> bytes:
    try:
        return base64url(segment)
    except ValueError:
        raise AssertionRefused("malformed", "not base64url") from None


def _json_object(data: bytes) -> dict[str, Any]:
    try:
        return json_object(data)
    except ValueError:
        raise AssertionRefused("malformed", "not a JSON object") from None

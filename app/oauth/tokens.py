"""Access tokens: `at+jwt` (RFC 9068), made and read. Pure: key, time and randomness come in.

Reading is as strict as writing is exact: whatever we would not have written ourselves is refused.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from app.oauth.minting import CLIENT, PERSON, Minted, TokenClaims, TokenRefused
from app.oauth.models import ACCESS_SECONDS
from app.strict import base64url, json_object

Algorithm = Literal["RS256", "ES256"]
PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey
PublicKey = RSAPublicKey | EllipticCurvePublicKey

TYPE = "at+jwt"
MAX_BYTES = 8 * 1024
MAX_TEXT = 2048
# Our own clock wrote `exp`, so nothing is given there; a clock may have been set back a little since.
LEEWAY = 30.0

_COMPACT = re.compile(rb"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")  # RFC 7515 §7.1
_TYPES = frozenset({TYPE, f"application/{TYPE}"})  # RFC 9068 §4
# Nothing else, so no crit, jku, jwk, x5u, x5c, zip, b64 (RFC 7515 §4.1, RFC 8725 §3.10).
_HEADER = frozenset({"typ", "alg", "kid"})
_SCOPES = re.compile(r"(?:[\x21\x23-\x5B\x5D-\x7E]+(?: [\x21\x23-\x5B\x5D-\x7E]+)*)?")  # RFC 6749 §3.3
_RS256 = RSAAlgorithm(RSAAlgorithm.SHA256)
_ES256 = ECAlgorithm(ECAlgorithm.SHA256)


class Token(NamedTuple):
    """A token taken apart, with nothing about it believed yet."""

    kid: str
    algorithm: str
    signing_input: bytes
    signature: bytes
    payload: bytes


@dataclass(frozen=True, slots=True)
class Content:
    """What a new token is to say."""

    sub: str
    client_id: str
    scopes: Collection[str]
    resource: str
    grant_id: str


def mint(
    content: Content, *, issuer: str, key: PrivateKey, kid: str, algorithm: Algorithm, jti: str, now: float
) -> Minted:
    """A new token. `jti` is at least 128 random bits."""
    issued_at = int(now)
    expires_at = issued_at + ACCESS_SECONDS
    claims = {  # RFC 9068 §2.2; `gid` is ours
        "iss": issuer,
        "aud": content.resource,
        "sub": content.sub,
        "client_id": content.client_id,
        "scope": " ".join(sorted(content.scopes)),
        "iat": issued_at,
        "exp": expires_at,
        "jti": jti,
        "gid": content.grant_id,
    }
    return Minted(signed(claims, TYPE, key=key, kid=kid, algorithm=algorithm), jti, float(expires_at))


def signed(claims: Mapping[str, Any], typ: str, *, key: PrivateKey, kid: str, algorithm: Algorithm) -> str:
    """A JWT of these claims. `typ` says what it is for, so that no other reader takes it (RFC 8725 §3.11)."""
    header = {"typ": typ, "alg": algorithm, "kid": kid}
    signing_input = f"{_segment(header)}.{_segment(claims)}"
    return f"{signing_input}.{_base64url(_sign(key, signing_input.encode()))}"


def take_apart(token: bytes) -> Token:
    """Splits a compact JWS. Raises TokenRefused; reads no more than the header."""
    if len(token) > MAX_BYTES:
        raise TokenRefused("too_large", f"{len(token)} bytes")
    segments = _COMPACT.fullmatch(token)
    if segments is None:  # also a JWE, an opaque token, a code
        raise TokenRefused("malformed", "not three segments of base64url")
    header, payload, signature = segments.groups()
    kid, algorithm = _header(header)
    return Token(kid, algorithm, token[: segments.end(2)], _decoded(signature), _decoded(payload))


def verify(
    token: Token, key: PublicKey, algorithm: Algorithm, *, issuer: str, resource: str, now: float
) -> TokenClaims:
    """What `token` says, proven by `key`, which signs with `algorithm` alone. Raises TokenRefused."""
    if token.algorithm != algorithm:  # RFC 8725 §3.1: the key decides
        raise TokenRefused("alg", "another algorithm than the key's")
    if not _verified(key, token.signing_input, token.signature):
        raise TokenRefused("bad_signature")
    claims = _object(token.payload)
    if claims.get("iss") != issuer:
        raise TokenRefused("iss", "another issuer")
    if claims.get("aud") != resource:  # RFC 8707 §2; we write one string, never a list
        raise TokenRefused("aud", "for another resource")
    issued_at, expires_at = _times(claims, now)
    return TokenClaims(
        subject=_subject(claims),
        client_id=_text(claims, "client_id"),
        scopes=_scopes(claims),
        resource=resource,
        grant_id=_text(claims, "gid"),
        jti=_text(claims, "jti"),
        issued_at=issued_at,
        expires_at=expires_at,
        kid=token.kid,
    )


def public_jwk(key: PublicKey, kid: str, algorithm: Algorithm) -> dict[str, str]:
    """RFC 7517 §4: the public members alone."""
    made = (
        RSAAlgorithm.to_jwk(key, as_dict=True)
        if isinstance(key, RSAPublicKey)
        else ECAlgorithm.to_jwk(key, as_dict=True)
    )
    members = ("kty", "n", "e") if algorithm == "RS256" else ("kty", "crv", "x", "y")
    return {**{name: made[name] for name in members}, "kid": kid, "use": "sig", "alg": algorithm}


@lru_cache(maxsize=64)
def _header(segment: bytes) -> tuple[str, str]:
    """(kid, alg); all tokens of one key share their header."""
    header = _object(_decoded(segment))
    if str(header.get("typ")) not in _TYPES:  # RFC 9068 §4, RFC 8725 §3.11
        raise TokenRefused("typ", "not an access token")
    if header.keys() != _HEADER:
        raise TokenRefused("header", "other members than typ, alg and kid")
    kid, algorithm = header["kid"], header["alg"]
    if not isinstance(kid, str) or not isinstance(algorithm, str):
        raise TokenRefused("header", "kid or alg is not a text")
    return kid, algorithm


def _times(claims: Mapping[str, Any], now: float) -> tuple[float, float]:
    issued_at, expires_at = _time(claims, "iat"), _time(claims, "exp")
    not_before = _time(claims, "nbf") if "nbf" in claims else issued_at
    if now >= expires_at:
        raise TokenRefused("expired", f"{now - expires_at:.0f} s ago")
    if max(issued_at, not_before) > now + LEEWAY:
        raise TokenRefused("not_yet_valid")
    if expires_at - issued_at > ACCESS_SECONDS:  # it would outlive its own revocation
        raise TokenRefused("lifetime", "good for longer than we ever say")
    return issued_at, expires_at


def _time(claims: Mapping[str, Any], name: str) -> float:
    """RFC 7519 §2 NumericDate. A bool is an int to Python and not a time to anybody."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise TokenRefused("claims", f"{name} is not a time")
    return float(value)


def _subject(claims: Mapping[str, Any]) -> str:
    """In one of the two namespaces; a client that acts for itself is its own subject (RFC 9068 §2.2)."""
    subject = _text(claims, "sub")
    if subject.startswith(PERSON) and subject != PERSON:
        return subject
    if subject == f"{CLIENT}{claims.get('client_id')}" and claims.get("gid") == subject:
        return subject
    raise TokenRefused("claims", "sub is neither a person nor this client")


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    scope = claims.get("scope")
    if not isinstance(scope, str) or len(scope) > MAX_BYTES or _SCOPES.fullmatch(scope) is None:
        raise TokenRefused("claims", "scope is not a list of scopes")
    return frozenset(scope.split())


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT or not value.isprintable():
        raise TokenRefused("claims", f"{name} is not a text")
    return value


def _sign(key: PrivateKey, data: bytes) -> bytes:
    return _RS256.sign(data, key) if isinstance(key, RSAPrivateKey) else _ES256.sign(data, key)


def _verified(key: PublicKey, data: bytes, signature: bytes) -> bool:
    if isinstance(key, RSAPublicKey):
        return _RS256.verify(data, key, signature)
    return _ES256.verify(data, key, signature)


def _segment(value: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(segment: bytes) -> bytes:
    try:
        return base64url(segment)
    except ValueError:
        raise TokenRefused("malformed", "not base64url") from None


def _object(data: bytes) -> dict[str, Any]:
    try:
        return json_object(data)
    except ValueError:
        raise TokenRefused("malformed", "not a JSON object") from None

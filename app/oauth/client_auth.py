"""Who is asking at the token endpoint: RFC 6749 §2.3, and signed assertions (RFC 7523 §3)."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any
from urllib.parse import unquote_plus

from jwt import PyJWK
from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import PyJWTError

from app.oauth.errors import TokenError
from app.oauth.forms import Form
from app.oauth.models import AuthMethod, Client, fingerprint_of
from app.strict import base64url, json_object

ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ASSERTION_SECONDS = 300  # how far ahead an assertion may expire
LEEWAY = 30.0
NEVER = 1e12  # seconds; no time is written beyond
CHALLENGE = 'Basic realm="Brain", charset="UTF-8"'

_VERIFIERS: dict[str, Algorithm] = {
    name: known for name, known in get_default_algorithms().items() if name in ALGORITHMS
}
_KEY_TYPES = {"RS256": "RSA", "PS256": "RSA", "ES256": "EC", "EdDSA": "OKP"}


class InvalidClient(TokenError):
    """RFC 6749 §5.2. Constant for the client, told apart in the log."""

    def __init__(self, detail: str) -> None:
        super().__init__(
            "invalid_client",
            "The client is unknown or could not be authenticated.",
            status=401,
            challenge=CHALLENGE,
            detail=detail,
        )


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request says of its client; nothing of it is believed yet."""

    client_id: str
    method: AuthMethod
    secret: str = ""  # or the assertion

    def __repr__(self) -> str:
        return f"Credentials({self.client_id!r}, {self.method!r})"


def credentials(authorization: Sequence[bytes], form: Form) -> Credentials:
    """Raises TokenError: none, malformed, or more than one way at once (RFC 6749 §2.3)."""
    named, secret, assertion = form.get("client_id"), form.get("client_secret"), form.get("client_assertion")
    ways = [*authorization, *(one for one in (secret, assertion) if one)]
    if len(ways) > 1:
        raise TokenError("invalid_request", "Authenticate the client in one way, not in several.")
    if authorization:
        return _basic(authorization[0], named)
    if assertion or form.get("client_assertion_type"):
        return _assertion(form, assertion, named)
    if named is None:
        raise InvalidClient("no client_id")
    return Credentials(named, "client_secret_post", secret) if secret else Credentials(named, "none")


def _basic(header: bytes, named: str | None) -> Credentials:
    """RFC 6749 §2.3.1: both halves are form-encoded before they are joined."""
    scheme, _, encoded = header.partition(b" ")
    if scheme.lower() != b"basic":
        raise InvalidClient("another scheme than Basic")
    try:
        joined = b64decode(encoded.strip(), validate=True).decode()
        raw_id, colon, raw_secret = joined.partition(":")
        client_id, secret = (unquote_plus(raw, errors="strict") for raw in (raw_id, raw_secret))
    except ValueError:
        raise InvalidClient("Basic cannot be decoded") from None
    if not colon:
        raise InvalidClient("Basic without a colon")
    if named is not None and named != client_id:
        raise TokenError("invalid_request", "client_id and the Authorization header name different clients.")
    return Credentials(client_id, "client_secret_basic", secret)


def _assertion(form: Form, assertion: str | None, named: str | None) -> Credentials:
    """RFC 7521 §4.2: client_id may be left out, and otherwise must be the subject's."""
    if form.get("client_assertion_type") != ASSERTION_TYPE or assertion is None:
        raise TokenError("invalid_request", f"client_assertion_type must be {ASSERTION_TYPE}.")
    try:
        subject = json_object(base64url(assertion.split(".")[1].encode())).get("sub")
    except (ValueError, IndexError):
        raise InvalidClient("the assertion cannot be decoded") from None
    if not isinstance(subject, str) or not subject.isprintable() or named not in (None, subject):
        raise InvalidClient("the assertion is of another client")
    return Credentials(subject, "private_key_jwt", assertion)


def check(claimed: Credentials, client: Client, now: float) -> None:
    """All but assertions. Raises InvalidClient: what was registered is what must be used."""
    if claimed.method not in client.auth_methods:
        raise InvalidClient(f"uses {claimed.method}, registered {', '.join(sorted(client.auth_methods))}")
    if claimed.method in ("none", "private_key_jwt"):
        return
    if not compare_digest(fingerprint_of(claimed.secret), client.secret_sha256 or ""):
        raise InvalidClient("wrong secret")
    if client.secret_expires_at is not None and client.secret_expires_at <= now:
        raise InvalidClient("the secret has expired")


def check_assertion(
    assertion: str, client_id: str, keys: Mapping[str, Any], audiences: Collection[str], now: float
) -> tuple[str, float]:
    """RFC 7523 §3: its `jti`, and until when that must be remembered. Raises InvalidClient."""
    try:
        head, body, signature = (base64url(part.encode()) for part in assertion.split("."))
        header, claims = json_object(head), json_object(body)
    except ValueError:
        raise InvalidClient("the assertion cannot be decoded") from None
    signed = assertion.rpartition(".")[0].encode()
    _check_signature(header, signed, signature, keys)
    if claims.get("iss") != client_id or claims.get("sub") != client_id:
        raise InvalidClient("iss and sub of the assertion must be the client_id")
    audience = claims.get("aud")
    # The issuer itself is best; the endpoint's address is what RFC 7523 §3 had before. One, not several.
    one = audience[0] if isinstance(audience, list) and len(audience) == 1 else audience
    if not isinstance(one, str) or one not in audiences:
        raise InvalidClient("the assertion is for another server")
    return _check_time(claims, now)


def _check_signature(
    header: Mapping[str, Any], signed: bytes, signature: bytes, keys: Mapping[str, Any]
) -> None:
    """RFC 8725 §3.1: the algorithm is of our list and fits the key; the token chooses nothing."""
    algorithm, kid = header.get("alg"), header.get("kid")
    if algorithm not in ALGORITHMS or "crit" in header:
        raise InvalidClient("the assertion's algorithm is not accepted")
    listed = keys.get("keys")
    for key in listed if isinstance(listed, list) else []:
        if not isinstance(key, dict) or key.get("kty") != _KEY_TYPES[algorithm]:
            continue
        if kid is not None and key.get("kid") not in (kid, None):
            continue
        if key.get("use", "sig") == "sig" and _signs(key, algorithm, signed, signature):
            return
    raise InvalidClient("no key of the client has signed the assertion")


def _signs(key: Mapping[str, Any], algorithm: str, signed: bytes, signature: bytes) -> bool:
    try:
        public = PyJWK(dict(key), algorithm).key
        return _VERIFIERS[algorithm].verify(signed, public, signature)
    except (PyJWTError, ValueError, TypeError):
        return False


def _check_time(claims: Mapping[str, Any], now: float) -> tuple[str, float]:
    expires, jti = claims.get("exp"), claims.get("jti")
    if not isinstance(expires, int | float) or not isinstance(jti, str) or not 0 < expires < NEVER:
        raise InvalidClient("the assertion needs exp and jti")
    if not jti or len(jti) > 256 or not jti.isprintable():
        raise InvalidClient("jti of the assertion is not usable")
    if expires + LEEWAY <= now:
        raise InvalidClient("the assertion has expired")
    if expires > now + ASSERTION_SECONDS + LEEWAY:
        raise InvalidClient(f"the assertion may be good for {ASSERTION_SECONDS} s at the most")
    for member in ("iat", "nbf"):
        value = claims.get(member)
        if value is not None and (not isinstance(value, int | float) or value > now + LEEWAY):
            raise InvalidClient(f"{member} of the assertion is in the future")
    return jti, expires + LEEWAY

"""Signing keys of a stand-in team, and the compact form of a JWT, byte by byte.

Nothing here checks what it signs: tests craft malformed tokens with the same functions.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

Signer = Callable[[bytes], bytes]

CERTIFICATE_LIFETIME = timedelta(days=60)


@dataclass(frozen=True)
class SigningKey:
    """One RSA key of a team. `sign` is a `Signer` (RS256)."""

    private: rsa.RSAPrivateKey
    kid: str

    @classmethod
    def generate(cls, *, bits: int = 2048) -> Self:
        private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        return cls(private, hashlib.sha256(_der(private)).hexdigest())

    def sign(self, signing_input: bytes) -> bytes:
        return self.private.sign(signing_input, padding.PKCS1v15(), hashes.SHA256())

    def jwk(self) -> dict[str, str]:
        numbers = self.private.public_key().public_numbers()
        return {
            "kid": self.kid,
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "e": _base64url_number(numbers.e),
            "n": _base64url_number(numbers.n),
        }

    def certificate(self, team_domain: str, at: float) -> dict[str, str]:
        """The self-signed certificate that Access publishes beside the JWK."""
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, team_domain)])
        begin = datetime.fromtimestamp(at, UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self.private.public_key())
            .serial_number(int(self.kid[:16], 16) or 1)
            .not_valid_before(begin)
            .not_valid_after(begin + CERTIFICATE_LIFETIME)
            .sign(self.private, hashes.SHA256())
        )
        return {"kid": self.kid, "cert": certificate.public_bytes(serialization.Encoding.PEM).decode()}

    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


def unsigned(_signing_input: bytes) -> bytes:
    """The `Signer` of `alg: none`."""
    return b""


def hmac_sha256(secret: bytes) -> Signer:
    """The `Signer` of HS256, for the attack that uses a public key as the secret."""
    return lambda signing_input: hmac.digest(secret, signing_input, "sha256")


def encode(header: Mapping[str, Any], payload: Mapping[str, Any], sign: Signer) -> str:
    return encode_bytes(_json(header), _json(payload), sign)


def encode_bytes(header: bytes, payload: bytes, sign: Signer) -> str:
    """Any two byte strings as a JWT, whether they are JSON or not."""
    signing_input = base64url(header) + b"." + base64url(payload)
    return (signing_input + b"." + base64url(sign(signing_input))).decode()


def base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def _json(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _base64url_number(number: int) -> str:
    return base64url(number.to_bytes((number.bit_length() + 7) // 8, "big")).decode()


def _der(private: rsa.RSAPrivateKey) -> bytes:
    return private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )

"""Makes the tokens that the data files describe. The files say what each field does, by example."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding

from app.simulator import SigningKey, Team
from app.simulator.keys import Signer, base64url, encode, encode_bytes, hmac_sha256, unsigned

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Case:
    """One entry of attacks.json or accepted.json. `reason` is empty where the token is good."""

    name: str
    how: dict[str, Any]
    reason: str = ""

    def __str__(self) -> str:
        return self.name


def cases(file: str) -> list[Case]:
    entries = json.loads((HERE / file).read_text())
    return [Case(entry.pop("name"), entry, entry.pop("reason", "")) for entry in entries]


def craft(case: Case, team: Team, other: SigningKey) -> str:
    """The token of `case`. `other` is a key that the team never published."""
    how = filled(case.how, team, other)
    if "token" in how:
        return str(how["token"]).replace("$good", team.token())
    signer = signers(team, other)[how["sign"]] if "sign" in how else team.current.sign
    if "header_text" in how or "payload_text" in how:
        header = how.get("header_text") or json.dumps({"alg": "RS256", "kid": team.current.kid})
        payload = how.get("payload_text") or json.dumps(_claims(team))
        return encode_bytes(header.encode("latin-1"), payload.encode("latin-1"), signer)
    header = {"alg": "RS256", "kid": team.current.kid, "typ": "JWT", **how.get("header", {})}
    claims = (_service_claims(team) if how.get("service") else _claims(team)) | how.get("claims", {})
    for name in how.get("without_header", ()):
        del header[name]
    for name in how.get("without", ()):
        del claims[name]
    return encode(header, claims, signer)


def filled(value: Any, team: Team, other: SigningKey) -> Any:
    """`{"now": 31}` is a time, `{"repeat": "x", "times": 9}` a text, `$issuer`, `$kid` … the team's."""
    if isinstance(value, dict) and value.keys() == {"now"}:
        return int(team.now()) + value["now"]
    if isinstance(value, dict) and value.keys() == {"repeat", "times"}:
        return value["repeat"] * value["times"]
    if isinstance(value, dict):
        return {name: filled(inner, team, other) for name, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, team, other) for inner in value]
    if value == "$jwk":
        return other.jwk()
    return _filled_text(value, team, other) if isinstance(value, str) else value


def _filled_text(text: str, team: Team, other: SigningKey) -> str:
    words = {
        "$issuer": team.issuer,
        "$aud": team.aud,
        "$kid": team.current.kid,
        "$KID": team.current.kid.upper(),
        "$otherkid": other.kid,
        "$previouskid": team.previous.kid,
        "$exp": str(int(team.now()) + 3600),
        "$iat": str(int(team.now())),
    }
    for word, meant in words.items():
        text = text.replace(word, meant)
    return text


def signers(team: Team, other: SigningKey) -> dict[str, Signer]:
    private, public = team.current.private, team.current.private.public_key()
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    pkcs1 = serialization.PublicFormat.PKCS1
    pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
    certificate = team.current.certificate(team.domain, team.now())["cert"].encode()
    pss = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256().digest_size)
    return {
        "none": unsigned,
        "another key": other.sign,
        "previous key": team.previous.sign,
        "one bit off": lambda data: bytes([team.current.sign(data)[0] ^ 1]) + team.current.sign(data)[1:],
        "one byte short": lambda data: team.current.sign(data)[:-1],
        "of other data": lambda data: team.current.sign(data + b"x"),
        "zeros": lambda _data: bytes(256),
        "HMAC with the PEM": hmac_sha256(team.current.public_pem()),
        "HMAC with the PEM, stripped": hmac_sha256(team.current.public_pem().strip()),
        "HMAC with the PKCS1 PEM": hmac_sha256(public.public_bytes(pem, pkcs1)),
        "HMAC with the DER": hmac_sha256(public.public_bytes(der, spki)),
        "HMAC with the JWK": hmac_sha256(json.dumps(team.current.jwk()).encode()),
        "HMAC with the certificate": hmac_sha256(certificate),
        "HMAC with nothing": hmac_sha256(b""),
        "RS512": lambda data: private.sign(data, padding.PKCS1v15(), hashes.SHA512()),
        "PS256": lambda data: private.sign(data, pss, hashes.SHA256()),
        "ES256": lambda data: _curve_key().sign(data, ec.ECDSA(hashes.SHA256())),
    }


def nested(team: Team) -> str:
    """A good token as the payload of another (RFC 7519 §2 "Nested JWT")."""
    header = {"alg": "RS256", "kid": team.current.kid, "cty": "JWT"}
    return encode_bytes(json.dumps(header).encode(), team.token().encode(), team.current.sign)


def five_parts(team: Team) -> str:
    """The shape of a JWE (RFC 7516 §3)."""
    header = base64url(json.dumps({"alg": "RSA-OAEP", "enc": "A256GCM", "kid": team.current.kid}).encode())
    return b".".join([header, *(base64url(bytes([part]) * 32) for part in range(4))]).decode()


def _claims(team: Team) -> dict[str, Any]:
    now = int(team.now())
    return {
        "aud": [team.aud],
        "email": "alice@example.com",
        "exp": now + 3600,
        "iat": now,
        "nbf": now,
        "iss": team.issuer,
        "type": "app",
        "sub": "7335d417-61da-459d-899c-0a01c76a2f94",
        "country": "US",
    }


def _service_claims(team: Team) -> dict[str, Any]:
    claims = _claims(team)
    return {name: claims[name] for name in ("aud", "exp", "iat", "iss", "type")} | {
        "sub": "",
        "common_name": "0123456789abcdef.access",
    }


@cache
def _curve_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())

"""Whatever is sent as an assertion: one kind of refusal, and quickly."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.access.claims import AssertionRefused, issuer_of, take_apart, verify
from app.access.jwks import BadKeySet, parse
from app.simulator import SigningKey
from app.simulator.keys import base64url, encode_bytes

PATIENT = 0.005  # seconds for one token: a refusal must not be a way to keep us busy
ISSUER = issuer_of("acme")
AUD = "a" * 64
NOW = 1_800_000_000
KEY = SigningKey.generate()

quick = settings(deadline=None, max_examples=150, derandomize=True)
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=40)
    | st.sampled_from([ISSUER, AUD, "app", "RS256", NOW, NOW + 60, 10**300, "", "alice@example.com"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
CLAIMS = (
    "iss",
    "aud",
    "exp",
    "nbf",
    "iat",
    "type",
    "email",
    "sub",
    "common_name",
    "custom",
    "identity_nonce",
)
GOOD = {
    "iss": ISSUER,
    "aud": [AUD],
    "exp": NOW + 60,
    "iat": NOW,
    "type": "app",
    "email": "alice@example.com",
    "sub": "1",
}
twisted = st.dictionaries(st.sampled_from(CLAIMS), values, max_size=4).map(
    lambda changed: {**GOOD, **changed}
)
headers = st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "jwk", "x", "b64"]), values, max_size=3
).map(lambda changed: {"alg": "RS256", "kid": "k", **changed})


def try_it(token: bytes) -> str:
    """What came of it. Anything but an Identity or the one refusal is the test's failure."""
    began = time.perf_counter()
    try:
        identity = verify(
            take_apart(token),
            KEY.private.public_key(),
            issuer=ISSUER,
            audiences=frozenset({AUD}),
            now=float(NOW),
        )
        return identity.principal.kind
    except AssertionRefused as refused:
        return refused.reason
    finally:
        took = time.perf_counter() - began
        if took > PATIENT:  # perhaps the machine was busy: once more, with the same token
            again = time.perf_counter()
            with_outcome(token)
            assert min(took, time.perf_counter() - again) < PATIENT


def with_outcome(token: bytes) -> None:
    try:
        take_apart(token)
    except AssertionRefused:
        return


@quick
@given(st.binary(max_size=2000))
def test_any_bytes_are_refused(token: bytes) -> None:
    assert try_it(token) in ("malformed", "alg", "header", "kid_missing", "bad_signature")


@quick
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=6))
def test_any_segments_are_refused(segments: list[bytes]) -> None:
    assert try_it(b".".join(base64url(segment) for segment in segments)) not in ("person", "service")


@quick
@given(headers, st.dictionaries(st.text(max_size=8), values, max_size=4))
def test_any_header_is_refused_or_understood(header: dict[str, Any], claims: dict[str, Any]) -> None:
    token = encode_bytes(json.dumps(header).encode(), json.dumps(claims).encode(), KEY.sign)
    assert try_it(token.encode()) not in ("person", "service")


@quick
@given(twisted)
def test_any_claims_under_a_good_signature_are_refused_or_a_person_of_ours(claims: dict[str, Any]) -> None:
    outcome = try_it(
        encode_bytes(b'{"alg":"RS256","kid":"k"}', json.dumps(claims).encode(), KEY.sign).encode()
    )
    if outcome in ("person", "service"):
        assert claims["iss"] == ISSUER
        assert claims["aud"] == AUD or AUD in claims["aud"]
        assert claims["type"] == "app"
        assert NOW - 30 < claims["exp"] < 1e11


@quick
@given(st.binary(max_size=600))
def test_any_payload_under_a_good_signature_is_refused(payload: bytes) -> None:
    token = encode_bytes(b'{"alg":"RS256","kid":"k"}', payload, KEY.sign)
    assert try_it(token.encode()) in ("malformed", "type")


@pytest.mark.parametrize("filler", ["[", '{"a":', "9", "\\u0000", '"', "\ud800"])
def test_the_worst_of_16_kib_takes_no_time(filler: str) -> None:
    payload = (filler * 11_000).encode("utf-8", "surrogatepass")[:11_000]
    token = encode_bytes(b'{"alg":"RS256","kid":"k"}', payload, KEY.sign)
    assert try_it(token.encode()) == "malformed"


@quick
@given(st.binary(max_size=500) | values.map(lambda value: json.dumps({"keys": value}).encode()))
def test_any_answer_of_the_certs_endpoint_is_a_key_set_or_is_not(body: bytes) -> None:
    with pytest.raises(BadKeySet):
        parse(body)


@quick
@given(st.dictionaries(st.sampled_from(["n", "e", "kid", "use", "alg", "x5c", "p", "q"]), values, max_size=4))
def test_any_twisted_key_is_used_or_left_out(changed: dict[str, Any]) -> None:
    key = {**KEY.jwk(), **changed}
    try:
        found = parse(json.dumps({"keys": [key]}).encode())
    except BadKeySet:
        return
    assert all(2048 <= usable.key_size <= 8192 for usable in found.values())

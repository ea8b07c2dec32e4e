"""Which answers of the certs endpoint are a key set, and which copies on disk."""

from __future__ import annotations

import json
import stat
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from app.access.claims import AssertionRefused, KeysUnavailable
from app.access.jwks import MAX_BYTES, BadKeySet, parse
from app.simulator.keys import base64url

from .conftest import Bench


def rsa_jwk(kid: str, bits: int, **more: Any) -> bytes:
    """A public RSA key of `bits` as JSON; nobody has its private half (the modulus is any odd number)."""
    modulus = ((1 << bits) - 1).to_bytes((bits + 7) // 8, "big")
    jwk = {
        "kid": kid,
        "kty": "RSA",
        "alg": "RS256",
        "use": "sig",
        "e": "AQAB",
        "n": base64url(modulus).decode(),
    }
    return json.dumps(jwk | more).encode()


def private_jwk(kid: str) -> bytes:
    jwk = RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 2048), as_dict=True)
    return json.dumps({**jwk, "kid": kid, "alg": "RS256", "use": "sig", "key_ops": ["verify"]}).encode()


def curve_jwk(kid: str) -> bytes:
    jwk = ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP256R1()).public_key(), as_dict=True)
    return json.dumps({**jwk, "kid": kid, "alg": "ES256", "use": "sig"}).encode()


def a_set(*keys: bytes) -> bytes:
    return b'{"keys": [%s]}' % b", ".join(keys)


UNUSABLE = {
    "nothing": b"",
    "a captive portal": b"<!doctype html><title>Sign in to the hotel</title>",
    "half a document": a_set(rsa_jwk("k", 2048))[:-3],
    "null": b"null",
    "a list": b"[]",
    "no keys": b"{}",
    "an empty set": a_set(),
    "keys that are an object": b'{"keys": {"k": 1}}',
    "keys that are numbers": b'{"keys": [1, null, "x"]}',
    "a thousand keys": a_set(*[rsa_jwk(f"k{number}", 2048) for number in range(1000)][:600]),
    "a thousand small keys": b'{"keys": [%s]}' % b",".join([b"{}"] * 1000),
    "not UTF-8": b'{"keys": "\xff"}',
    "nested ten thousand deep": b'{"keys": ' + b"[" * 10_000,
    "a 512-bit key": a_set(rsa_jwk("k", 512)),
    "a 1024-bit key": a_set(rsa_jwk("k", 1024)),
    "a 16384-bit key": a_set(rsa_jwk("k", 16384)),
    "an elliptic curve": a_set(curve_jwk("k")),
    "a symmetric key": a_set(b'{"kid": "k", "kty": "oct", "k": "AAAA", "alg": "HS256"}'),
    "half a private key": a_set(rsa_jwk("k", 2048, d="AQAB")),
    "a private key": a_set(private_jwk("k")),
    "a key for encryption": a_set(rsa_jwk("k", 2048, use="enc")),
    "a key for another algorithm": a_set(rsa_jwk("k", 2048, alg="RS512")),
    "an exponent of one": a_set(rsa_jwk("k", 2048, e="AQ")),
    "no modulus": a_set(rsa_jwk("k", 2048, n="")),
    "a modulus that is a number": a_set(rsa_jwk("k", 2048, n=65537)),
    "a modulus that is not base64": a_set(rsa_jwk("k", 2048, n="ÿÿÿ!")),
    "no kid": a_set(rsa_jwk("", 2048)),
    "a kid that is a number": a_set(rsa_jwk("k", 2048).replace(b'"k"', b"7")),
    "a kid of a thousand letters": a_set(rsa_jwk("k" * 1000, 2048)),
}


@pytest.mark.parametrize("name", UNUSABLE)
async def test_an_unusable_answer_is_refused_and_the_old_set_stays(name: str, bench: Bench) -> None:
    await bench.who(bench.team.token())
    before = bench.file.read_bytes()
    bench.certs.answers(UNUSABLE[name])
    bench.clock.advance(1)
    await bench.keys.refresh()
    assert bench.certs.requests == 2
    assert (await bench.who(bench.team.token("bob@example.com"))).principal.id == "bob@example.com"
    assert bench.keys.age == 1
    assert bench.file.read_bytes() == before


@pytest.mark.parametrize("name", UNUSABLE)
def test_an_unusable_answer_raises_nothing_but_its_own_error(name: str) -> None:
    with pytest.raises(BadKeySet):
        parse(UNUSABLE[name])


@pytest.mark.parametrize("status", [204, 301, 404, 429, 500, 503])
async def test_only_a_plain_200_is_an_answer(status: int, bench: Bench) -> None:
    body = json.dumps(bench.team.key_set()).encode() if status not in (204,) else b""
    bench.certs.answers(body, status=status)
    with pytest.raises(KeysUnavailable):
        await bench.who(bench.team.token())


async def test_a_redirect_is_not_followed_even_to_a_good_set(bench: Bench) -> None:
    bench.certs.redirect(bench.access.certs_url + "?again")
    with pytest.raises(KeysUnavailable):
        await bench.who(bench.team.token())
    assert bench.certs.requests == 1


async def test_an_oversized_answer_is_refused_although_its_keys_are_right(bench: Bench) -> None:
    bench.certs.oversized(MAX_BYTES)
    with pytest.raises(KeysUnavailable):
        await bench.who(bench.team.token())


async def test_the_usable_keys_among_unusable_ones_are_used(bench: Bench) -> None:
    good = json.dumps(bench.team.current.jwk()).encode()
    bench.certs.answers(a_set(curve_jwk("a"), rsa_jwk("b", 512), rsa_jwk("c", 2048, d="AQAB"), good, b"null"))
    assert (await bench.who(bench.team.token())).kid == bench.team.current.kid
    with pytest.raises(AssertionRefused):
        await bench.keys.key("c")


async def test_the_certificate_beside_the_keys_is_never_believed(bench: Bench) -> None:
    """`public_cert` may be the outdated key: only `keys` counts."""
    document = {**bench.team.key_set(), "keys": [bench.team.current.jwk()]}
    bench.certs.answers(json.dumps(document).encode())
    assert await bench.reason(bench.team.token(key=bench.team.previous)) == "kid_unknown"


async def test_a_restart_during_an_outage_goes_on_with_the_copy_on_disk(bench: Bench) -> None:
    await bench.who(bench.team.token())
    await bench.access.refuse_access()
    bench.restart()
    bench.clock.advance(6 * 86400)
    assert (await bench.who(bench.team.token())).principal.id == "alice@example.com"
    bench.clock.advance(86400)
    bench.restart()
    with pytest.raises(KeysUnavailable):
        await bench.who(bench.team.token())


async def test_a_restart_with_a_copy_on_disk_needs_no_fetch(bench: Bench) -> None:
    await bench.who(bench.team.token())
    bench.restart()
    await bench.who(bench.team.token())
    assert bench.certs.requests == 1


async def test_the_copy_on_disk_is_nobody_elses_to_read(bench: Bench) -> None:
    await bench.who(bench.team.token())
    assert stat.S_IMODE(bench.file.stat().st_mode) == 0o600
    assert [path.name for path in bench.file.parent.iterdir()] == [bench.file.name]


async def test_a_disk_that_takes_no_copy_costs_nothing_but_the_copy(bench: Bench) -> None:
    bench.file.mkdir()
    assert (await bench.who(bench.team.token())).principal.id == "alice@example.com"


async def test_a_copy_of_another_url_is_not_used(bench: Bench) -> None:
    await bench.who(bench.team.token())
    bench.team.down()
    bench.restart(url=bench.access.certs_url + "?other")
    with pytest.raises(KeysUnavailable):
        await bench.who(bench.team.token())


SPOILT = {
    "empty": "",
    "half": '{"url": "$url", "certs": {"ke',
    "a list": "[]",
    "nested": "[" * 10_000,
    "no time": '{"url": "$url", "certs": $certs}',
    "time is text": '{"url": "$url", "certs": $certs, "fetched_at": "yesterday"}',
    "time is NaN": '{"url": "$url", "certs": $certs, "fetched_at": NaN}',
    "time is Infinity": '{"url": "$url", "certs": $certs, "fetched_at": Infinity}',
    "time is beyond all time": '{"url": "$url", "certs": $certs, "fetched_at": 1' + "0" * 400 + "}",
    "time is next year": '{"url": "$url", "certs": $certs, "fetched_at": 1831536000}',
    "time is long ago": '{"url": "$url", "certs": $certs, "fetched_at": 0}',
    "no usable key": '{"url": "$url", "certs": {"keys": []}, "fetched_at": 1800000000}',
}


@pytest.mark.parametrize("name", SPOILT)
async def test_a_spoilt_copy_is_as_good_as_none(name: str, bench: Bench) -> None:
    text = SPOILT[name].replace("$url", bench.access.certs_url)
    bench.file.write_text(text.replace("$certs", json.dumps(bench.team.key_set())))
    bench.team.down()
    bench.restart()
    with pytest.raises(KeysUnavailable):
        await bench.who(bench.team.token())
    bench.team.up()
    bench.clock.advance(10)
    assert (await bench.who(bench.team.token())).principal.id == "alice@example.com"


def test_a_real_key_survives_the_reading(bench: Bench) -> None:
    key = parse(json.dumps(bench.team.key_set()).encode())[bench.team.current.kid]
    assert RSAAlgorithm.to_jwk(key, as_dict=True)["n"] == bench.team.current.jwk()["n"]

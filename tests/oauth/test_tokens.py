"""Access tokens at the door: what is believed, and everything that looks like one (RFC 9068, RFC 8725)."""

from __future__ import annotations

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from jwt.algorithms import ECAlgorithm

from app.oauth.models import ACCESS_SECONDS
from app.simulator import SigningKey
from tests.house import Clock, new_team

from . import holders
from .holders import ALICE, BOB, METADATA, READ, RESOURCE, WRITE, Holders, challenge_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
ATTACKS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "token_attacks.json").read_text())


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    header, payload, _ = (urlsafe_b64decode(part + "==") for part in token.split("."))
    return json.loads(header), json.loads(payload)


def segment(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


@cache
def stranger() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signers(home: Holders) -> dict[str, Callable[[bytes], bytes]]:
    kept = json.loads((home.folder / "oauth-keys" / "keys.json").read_text())["keys"][-1]["private"]
    ours = serialization.load_pem_private_key(kept.encode(), None)
    assert isinstance(ours, rsa.RSAPrivateKey)
    pem = ours.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    pkcs1, pss = padding.PKCS1v15(), padding.PSS(padding.MGF1(hashes.SHA256()), 32)
    curve = ec.generate_private_key(ec.SECP256R1())
    return {
        "ours": lambda data: ours.sign(data, pkcs1, hashes.SHA256()),
        "nothing": lambda _: b"\0",
        "hmac": lambda data: hmac.digest(pem, data, "sha256"),
        "pss": lambda data: ours.sign(data, pss, hashes.SHA256()),
        "rs512": lambda data: ours.sign(data, pkcs1, hashes.SHA512()),
        "es256": lambda data: ECAlgorithm(ECAlgorithm.SHA256).sign(data, curve),
        "another key": lambda data: stranger().sign(data, pkcs1, hashes.SHA256()),
        "of other data": lambda data: ours.sign(data + b"x", pkcs1, hashes.SHA256()),
        "one bit off": lambda data: _flipped(ours.sign(data, pkcs1, hashes.SHA256())),
    }


def _flipped(signature: bytes) -> bytes:
    return bytes([signature[0] ^ 1]) + signature[1:]


def filled(value: Any, now: float, kid: str) -> Any:
    if isinstance(value, dict) and value.keys() == {"now"}:
        return int(now) + value["now"]
    if isinstance(value, dict) and value.keys() == {"repeat", "times"}:
        return value["repeat"] * value["times"]
    return value.replace("$kid", kid) if isinstance(value, str) else value


def craft(attack: dict[str, Any], good: str, home: Holders) -> str:
    header, claims = parts_of(good)
    now, kid = home.house.clock(), header["kid"]
    if "token" in attack:
        return str(filled(attack["token"], now, kid))
    header |= attack.get("header", {})
    claims |= {name: filled(value, now, kid) for name, value in attack.get("claims", {}).items()}
    for name in attack.get("without_header", ()):
        del header[name]
    for name in attack.get("without", ()):
        del claims[name]
    head = filled(attack.get("header_text", json.dumps(header)), now, kid)
    body = filled(attack.get("payload_text", json.dumps(claims)), now, kid)
    signing_input = f"{segment(head.encode())}.{segment(body.encode())}"
    signature = signers(home)[attack.get("sign", "ours")](signing_input.encode())
    return f"{signing_input}.{segment(signature)}"


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: f"{attack['row']} {attack['name']}")
async def test_M7_M8_M9_M10_M11_M15_what_only_looks_like_a_token_is_refused(
    at_home: Holders, attack: dict[str, Any]
) -> None:
    token = craft(attack, await at_home.token(), at_home)
    answer = await at_home.ask("tools/list", token)
    assert answer.status_code == 401
    assert challenge_of(answer)["error"] == "invalid_token"
    assert challenge_of(answer)["resource_metadata"] == METADATA
    assert token not in answer.text


async def test_M11_a_token_of_a_megabyte_never_gets_as_far(at_home: Holders) -> None:
    answer = await at_home.ask("tools/list", "a" * 100_000)
    assert answer.status_code == 400


async def test_the_crafted_token_without_an_attack_is_good(at_home: Holders) -> None:
    token = craft({}, await at_home.token(), at_home)
    assert (await at_home.ask("tools/list", token)).status_code == 200
    full_type = craft({"header": {"typ": "application/at+jwt"}}, await at_home.token(), at_home)
    assert (await at_home.ask("tools/list", full_type)).status_code == 200


async def test_M1_M3_M4_M5_M6_what_a_token_says(at_home: Holders) -> None:
    grant = await at_home.grant(scopes=(READ, WRITE))
    minted = at_home.minted(grant)
    header, claims = parts_of(minted.token)
    kids = {key["kid"] for key in at_home.keys.jwks(at_home.house.clock())["keys"]}
    assert header == {"typ": "at+jwt", "alg": "RS256", "kid": next(iter(kids))}
    now = int(at_home.house.clock())
    assert claims == {
        "iss": "https://brain.example.com",
        "aud": RESOURCE,
        "sub": f"person:{grant.subject}",
        "client_id": "c1",
        "scope": f"{READ} {WRITE}",
        "iat": now,
        "exp": now + ACCESS_SECONDS,
        "jti": minted.jti,
        "gid": grant.id,
    }
    assert len(minted.jti) >= 22  # 128 bits in base64url
    assert at_home.minted(grant).jti != minted.jti
    assert "@" not in json.dumps(claims).replace(grant.subject, "")


async def test_M14_a_token_or_grant_that_was_revoked_elsewhere_is_refused_by_the_next_call(
    at_home: Holders,
) -> None:
    now = at_home.house.clock()
    grant = await at_home.grant()
    one, two = at_home.minted(grant), at_home.minted(grant)
    for minted in (one, two):
        assert (await at_home.ask("tools/list", minted.token)).status_code == 200
    await at_home.store.revoke_access_token(one.jti, until=one.expires_at, now=now)
    assert (await at_home.ask("tools/list", one.token)).status_code == 401
    assert (await at_home.ask("tools/list", two.token)).status_code == 200
    await at_home.store.revoke_grant(grant.id, now)
    answer = await at_home.ask("tools/list", two.token)
    assert answer.status_code == 401
    assert challenge_of(answer)["error"] == "invalid_token"


async def test_M14_a_grant_that_ends_ends_its_tokens(at_home: Holders) -> None:
    grant = await at_home.grant(expires_at=at_home.house.clock())
    assert (await at_home.ask("tools/list", at_home.minted(grant).token)).status_code == 401


async def test_M16_G23_a_client_for_itself_is_its_own_principal(at_home: Holders) -> None:
    policy = at_home.house.policy_file.read_text()
    rule = f'\n[[rule]]\nname = "machines"\nservice_tokens = ["client:nightly"]\nscopes = ["{WRITE}"]\n'
    at_home.house.write_policy(policy + rule)
    answer = await at_home.call("whoami", at_home.machine("nightly", (READ,)))
    who = answer.json()["result"]["structuredContent"]
    assert (who["kind"], who["principal"], who["client"]) == ("service", "client:nightly", "nightly")
    assert (who["scopes"], who["rules"]) == ([READ], ["machines"])
    # A client whose id is an e-mail or a person's subject is nobody but itself.
    for client_id in (ALICE, f"person:subject-of-{ALICE}"):
        answer = await at_home.call("whoami", at_home.machine(client_id, (WRITE,)))
        assert answer.json()["result"]["structuredContent"]["scopes"] == []
    at_home.house.write_policy(policy)


async def test_M17_an_assertion_is_no_bearer(at_home: Holders) -> None:
    assertion = at_home.house.team.token(ALICE)
    answer = await at_home.ask("tools/list", assertion)
    assert answer.status_code == 401
    answer = await at_home.ask("tools/list", assertion, assertion=assertion)
    assert answer.status_code == 401


async def test_N20_a_token_is_good_until_the_second_it_ends(
    tmp_path: Path, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> None:
    clock = Clock()
    async with holders.opened(tmp_path, clock, new_team(clock, signing_keys[:2])) as home:
        grant = await home.grant(BOB)
        token = home.minted(grant).token
        clock.advance(ACCESS_SECONDS - 1)
        assert (await home.ask("tools/list", token)).status_code == 200
        clock.advance(1)
        assert (await home.ask("tools/list", token)).status_code == 401


async def test_M2_es256_by_setting(
    tmp_path: Path, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> None:
    clock = Clock()
    team = new_team(clock, signing_keys[:2])
    async with holders.opened(tmp_path, clock, team, OAUTH_SIGNING_ALG="ES256") as home:
        home.keys = holders.same_keys(tmp_path, clock, algorithm="ES256")
        token = await home.token()
        assert parts_of(token)[0]["alg"] == "ES256"
        assert (await home.ask("tools/list", token)).status_code == 200

"""Who asks: group I, and clients that act for themselves (X1 to X3)."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from app.oauth.client_auth import ASSERTION_TYPE

from .desk import ISSUER, START, Desk, is_refused

KEY, OTHER_KEY = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
JWKS = {"keys": [json.loads(ECAlgorithm.to_jwk(KEY.public_key())) | {"kid": "k1"}]}


def assertion(client_id: str, *, key: Any = KEY, alg: str = "ES256", **changed: Any) -> str:
    claims = {"iss": client_id, "sub": client_id, "aud": ISSUER, "exp": START + 60, "jti": "1", **changed}
    given = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(given, key, algorithm=alg, headers={"kid": "k1"})


async def tried(desk: Desk, *, headers: Any = None, **form: Any) -> Any:
    """A refresh with no token: invalid_request from a client that is who it says."""
    return await desk.anybody.post("/token", data={"grant_type": "refresh_token", **form}, headers=headers)


def basic(client_id: str, secret: str, scheme: str = "Basic") -> dict[str, str]:
    return {"authorization": f"{scheme} {b64encode(f'{client_id}:{secret}'.encode()).decode()}"}


async def test_I1_I2_I3_public_missing_and_unknown(desk: Desk) -> None:
    client = await desk.register()
    assert is_refused(await tried(desk, client_id=client["client_id"]), "invalid_request")
    assert is_refused(await tried(desk), "invalid_client", 401)
    assert is_refused(await tried(desk, client_id="unknown"), "invalid_client", 401)


async def test_I4_a_secret_in_the_form(desk: Desk) -> None:
    client = await desk.register(token_endpoint_auth_method="client_secret_post")
    named = {"client_id": client["client_id"]}
    assert is_refused(await tried(desk, **named, client_secret=client["client_secret"]), "invalid_request")
    assert is_refused(await tried(desk, **named, client_secret="wrong"), "invalid_client", 401)


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_I5_I6_I8_I10_basic_with_and_without_the_id_in_the_form(desk: Desk, scheme: str) -> None:
    client = await desk.register(token_endpoint_auth_method="client_secret_basic")
    headers = basic(client["client_id"], client["client_secret"], scheme)
    assert is_refused(await tried(desk, headers=headers), "invalid_request")
    assert is_refused(await tried(desk, headers=headers, client_id=client["client_id"]), "invalid_request")
    assert is_refused(await tried(desk, headers=headers, client_id="other"), "invalid_request")


@pytest.mark.parametrize("value", ["Basic !!!", "Basic eA==", "Basic", "Bearer x", "Basic /w=="])
async def test_I7_wrong_basic_is_told_how(desk: Desk, value: str) -> None:
    reply = await tried(desk, headers={"authorization": value})
    assert is_refused(reply, "invalid_client", 401)
    assert reply.headers["www-authenticate"].startswith('Basic realm="')


async def test_I9_one_way_at_a_time(desk: Desk) -> None:
    client = await desk.register(token_endpoint_auth_method="client_secret_basic")
    headers = basic(client["client_id"], client["client_secret"])
    reply = await tried(desk, headers=headers, client_secret=client["client_secret"])
    assert is_refused(reply, "invalid_request")


async def test_I11_I12_it_is_as_it_was_registered(desk: Desk) -> None:
    confidential = await desk.register(token_endpoint_auth_method="client_secret_basic")
    public = await desk.register()
    named, secret = {"client_id": confidential["client_id"]}, confidential["client_secret"]
    assert is_refused(await tried(desk, **named), "invalid_client", 401)
    assert is_refused(await tried(desk, **named, client_secret=secret), "invalid_client", 401)
    reply = await tried(desk, client_id=public["client_id"], client_secret="x")
    assert is_refused(reply, "invalid_client", 401)


async def test_I14_a_secret_that_has_ended(desk: Desk) -> None:
    machine = await desk.machine(secret_expires_at=START + 10)
    assert (await desk.token(machine, grant_type="client_credentials")).status_code == 200
    desk.clock.advance(10)
    reply = await desk.token(machine, grant_type="client_credentials")
    assert is_refused(reply, "invalid_client", 401)


async def signing(desk: Desk) -> str:
    client = await desk.register(token_endpoint_auth_method="private_key_jwt", jwks=JWKS)
    client_id: str = client["client_id"]
    return client_id


async def asserted(desk: Desk, token: str, **form: Any) -> Any:
    return await tried(desk, **{"client_assertion": token, "client_assertion_type": ASSERTION_TYPE, **form})


@pytest.mark.parametrize("audience", [ISSUER, f"{ISSUER}/token", [ISSUER]])
async def test_I15_a_signed_assertion(desk: Desk, audience: Any) -> None:
    client_id = await signing(desk)
    assert is_refused(await asserted(desk, assertion(client_id, aud=audience)), "invalid_request")


@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "other"},
        {"sub": "other"},
        {"aud": "https://other.example"},
        {"aud": [ISSUER, "https://other.example"]},
        {"aud": None},
        {"exp": START - 31},
        {"exp": START + 3600},
        {"exp": None},
        {"exp": 10**400},
        {"iat": 10**400},
        {"aud": [[]]},
        {"jti": None},
        {"jti": ""},
        {"jti": "\ud800"},
        {"sub": "\ud800"},
        {"jti": "j" * 257},
        {"nbf": START + 60},
        {"iat": START + 60},
        {"key": OTHER_KEY},
        {"key": "secret" * 8, "alg": "HS256"},
        {"key": None, "alg": "none"},
    ],
)
async def test_I15_each_violation(desk: Desk, changed: dict[str, Any]) -> None:
    token = assertion(await signing(desk), **changed)
    assert is_refused(await asserted(desk, token), "invalid_client", 401)


@pytest.mark.parametrize("token", ["x", "a.b", "a.b.c", "...", "ü.ü.ü", "e30.e30.", "W10.W10.W10"])
async def test_I15_what_is_no_assertion(desk: Desk, token: str) -> None:
    assert is_refused(await asserted(desk, token), "invalid_client", 401)


async def test_I16_an_assertion_is_used_once(desk: Desk) -> None:
    token = assertion(await signing(desk))
    assert is_refused(await asserted(desk, token), "invalid_request")
    assert is_refused(await asserted(desk, token), "invalid_client", 401)


async def test_I17_E14_assertions_are_of_one_type_and_alone(desk: Desk) -> None:
    client_id = await signing(desk)
    token = assertion(client_id)
    assert is_refused(await asserted(desk, token, client_assertion_type="other"), "invalid_request")
    assert is_refused(await asserted(desk, token, client_secret="x"), "invalid_request")
    assert is_refused(await tried(desk, client_id=client_id), "invalid_client", 401)


async def test_I15_keys_that_are_elsewhere_are_asked_for(desk: Desk) -> None:
    client = await desk.register(
        token_endpoint_auth_method="private_key_jwt", jwks_uri="https://client.example/jwks"
    )
    kept = await desk.store.find_client(client["client_id"])
    assert kept is not None
    token = assertion(kept.id)
    assert is_refused(await asserted(desk, token), "invalid_client", 401)  # nobody fetches here


async def test_X1_a_machine_gets_a_token_and_nothing_to_renew_it(desk: Desk) -> None:
    machine = await desk.machine(scopes=frozenset({"mcp:tools:write"}))
    body = (await desk.token(machine, grant_type="client_credentials")).json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope"}
    assert body["scope"] == "mcp:tools:read mcp:tools:write"
    assert await desk.active(body["access_token"])


@pytest.mark.parametrize("scope", ["notes:delete", "mcp:tools:read mcp:tools:write", "unknown", 'a"'])
async def test_X3_a_machine_gets_all_that_it_asks_or_nothing(desk: Desk, scope: str) -> None:
    reply = await desk.token(await desk.machine(), grant_type="client_credentials", scope=scope)
    assert is_refused(reply, "invalid_scope")


async def test_X3_the_policy_counts_beside_its_list(desk: Desk) -> None:
    machine = await desk.machine("unnamed")
    assert is_refused(await desk.token(machine, grant_type="client_credentials"), "invalid_scope")
    named = await desk.machine()
    desk.rules = replace(desk.rules, rules=())
    assert is_refused(await desk.token(named, grant_type="client_credentials"), "invalid_scope")

"""I: how a client proves who it is."""

from __future__ import annotations

import json
import secrets
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec

from .registry import probe
from .talk import VERIFIER, Registered, Talk, basic, body, fields, refused

TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@cache
def key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


async def keyed(t: Talk) -> dict[str, Any]:
    public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key().public_key()))
    keys = {"keys": [{**public, "alg": "ES256", "use": "sig"}]}
    return await t.register(token_endpoint_auth_method="private_key_jwt", jwks=keys)


def assertion(t: Talk, client: Registered, **changes: Any) -> str:
    who, now = client["client_id"], int(t.now())
    claims = {
        "iss": who,
        "sub": who,
        "aud": t.issuer,
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_hex(16),
    }
    return jwt.encode({**claims, **changes}, key(), "ES256")


async def sent(t: Talk, client: Registered, headers: dict[str, str] | None = None, **form: Any) -> Any:
    """An exchange of a good code with just these credentials."""
    code = await t.code(client)
    given = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER}
    redirect = {"redirect_uri": client["redirect_uris"][0]}
    return await t.http.post("/token", data=fields({**given, **redirect, **form}), headers=headers or {})


@probe
async def I1(t: Talk) -> bool:
    client = await t.register()
    return bool((await sent(t, client, client_id=client["client_id"])).status_code == 200)


@probe
async def I2(t: Talk) -> bool:
    answer = await sent(t, await t.register())
    return refused(answer, "invalid_client", 401) or refused(answer, "invalid_request")


@probe
async def I3(t: Talk) -> bool:
    return refused(await sent(t, await t.register(), client_id="nobody"), "invalid_client", 401)


@probe
async def I4(t: Talk) -> bool:
    client = await t.confidential()
    named = {"client_id": client["client_id"]}
    wrong = await sent(t, client, **named, client_secret="wrong")
    right = await sent(t, client, **named, client_secret=client["client_secret"])
    return refused(wrong, "invalid_client", 401) and right.status_code == 200


@probe
async def I5(t: Talk) -> bool:
    client = await t.confidential("client_secret_basic")
    headers = basic(client["client_id"], client["client_secret"])
    return bool((await sent(t, client, headers)).status_code == 200)


@probe
async def I6(t: Talk) -> bool:
    client = await t.confidential("client_secret_basic")
    encoded = "".join(f"%{ord(sign):02X}" for sign in client["client_secret"])
    named = {"client_id": client["client_id"]}
    for secret in (encoded, client["client_secret"]):
        if (await sent(t, client, basic(client["client_id"], secret), **named)).status_code != 200:
            return False
    return True


@probe
async def I7(t: Talk) -> bool:
    client = await t.confidential("client_secret_basic")
    answer = await sent(t, client, basic(client["client_id"], "wrong"), client_id=client["client_id"])
    said = answer.headers.get("www-authenticate", "")
    return refused(answer, "invalid_client", 401) and said.startswith("Basic realm=")


@probe
async def I8(t: Talk) -> bool:
    client = await t.confidential("client_secret_basic")
    headers = basic(client["client_id"], client["client_secret"], "basic")
    return bool((await sent(t, client, headers, client_id=client["client_id"])).status_code == 200)


@probe
async def I9(t: Talk) -> bool:
    client = await t.confidential("client_secret_basic")
    who, secret = client["client_id"], client["client_secret"]
    return refused(
        await sent(t, client, basic(who, secret), client_id=who, client_secret=secret), "invalid_request"
    )


@probe
async def I10(t: Talk) -> bool:
    client, other = await t.confidential("client_secret_basic"), await t.register()
    headers = basic(client["client_id"], client["client_secret"])
    same = await sent(t, client, headers, client_id=client["client_id"])
    differs = await sent(t, client, headers, client_id=other["client_id"])
    return same.status_code == 200 and differs.status_code in (400, 401)


@probe
async def I11(t: Talk) -> bool:
    client, public = await t.confidential(), await t.register()
    without = await sent(t, client, client_id=client["client_id"])
    surplus = await sent(t, public, client_id=public["client_id"], client_secret="anything")
    return refused(without, "invalid_client", 401) and refused(surplus, "invalid_client", 401)


@probe
async def I12(t: Talk) -> bool:
    post, in_header = await t.confidential(), await t.confidential("client_secret_basic")
    one = await sent(t, post, basic(post["client_id"], post["client_secret"]), client_id=post["client_id"])
    other = await sent(
        t, in_header, client_id=in_header["client_id"], client_secret=in_header["client_secret"]
    )
    return refused(one, "invalid_client", 401) and refused(other, "invalid_client", 401)


@probe
async def I15(t: Talk) -> bool:
    client = await keyed(t)
    right = await sent(t, client, client_assertion_type=TYPE, client_assertion=assertion(t, client))
    wrong: list[dict[str, Any]] = [
        {"iss": "other"},
        {"aud": "https://other.example"},
        {"exp": int(t.now()) - 3600},
        {"exp": int(t.now()) + 86400},
        {"jti": None},
    ]
    for change in wrong:
        bad = assertion(t, client, **change)
        if not refused(
            await sent(t, client, client_assertion_type=TYPE, client_assertion=bad), "invalid_client", 401
        ):
            return False
    return bool(right.status_code == 200)


@probe
async def I16(t: Talk) -> bool:
    client = await keyed(t)
    once: dict[str, Any] = {"client_assertion_type": TYPE, "client_assertion": assertion(t, client)}
    first, again = await sent(t, client, **once), await sent(t, client, **once)
    return first.status_code == 200 and refused(again, "invalid_client", 401)


@probe
async def I17(t: Talk) -> bool:
    client = await keyed(t)
    proof = {"client_id": client["client_id"], "client_assertion": assertion(t, client)}
    unknown = await sent(t, client, client_assertion_type="urn:nothing", **proof)
    both = await sent(t, client, client_assertion_type=TYPE, client_secret="x", **proof)
    return all(one.status_code in (400, 401) and "error" in body(one) for one in (unknown, both))

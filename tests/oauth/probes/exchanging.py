"""H: authorization codes at the token endpoint."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from hashlib import sha256

from .registry import probe
from .talk import READ, VERIFIER, WRITE, Talk, body, for_us, opaque, part, refused

WRONG = "w" * 43


@probe
async def H1(t: Talk) -> bool:
    client = await t.register()
    answer = await t.exchange(client, await t.code(client))
    found = body(answer)
    whole = all(found.get(one) for one in ("access_token", "scope", "refresh_token"))
    kept = "no-store" in answer.headers.get("cache-control", "")
    return whole and kept and found["token_type"] == "Bearer" and isinstance(found["expires_in"], int)


@probe
async def H2(t: Talk) -> bool:
    client = await t.register()
    return refused(await t.exchange(client, "x", grant_type=None), "invalid_request")


@probe
async def H3(t: Talk) -> bool:
    client = await t.register()
    answers = [await t.exchange(client, "x", grant_type=one) for one in ("foo", "password", "implicit")]
    return all(refused(one, "unsupported_grant_type") for one in answers)


@probe
async def H4(t: Talk) -> bool:
    client = await t.register(grant_types=["authorization_code"])
    return refused(await t.refresh(client, "x"), "unauthorized_client")


@probe
async def H5(t: Talk) -> bool:
    return refused(await t.exchange(await t.register(), None), "invalid_request")


@probe
async def H6(t: Talk) -> bool:
    client = await t.register()
    return all([refused(await t.exchange(client, one), "invalid_grant") for one in ("x" * 43, "\u00e9 &")])


@probe
async def H7(t: Talk) -> bool:
    owner, other = await t.register(), await t.register()
    code = await t.code(owner)
    stolen = refused(await t.exchange(other, code), "invalid_grant")
    return stolen and (await t.exchange(owner, code)).status_code == 200


@probe
async def H8(t: Talk) -> bool:
    client = await t.register()
    answer = await t.exchange(client, await t.code(client), redirect_uri="https://client.example/other")
    return refused(answer, "invalid_grant")


@probe
async def H9(t: Talk) -> bool:
    client = await t.register()
    return (await t.exchange(client, await t.code(client), redirect_uri=None)).status_code == 200


@probe
async def H10(t: Talk) -> bool:
    client = await t.register()
    answer = await t.exchange(client, await t.code(client), code_verifier=None)
    return refused(answer, "invalid_request") or refused(answer, "invalid_grant")


@probe
async def H11(t: Talk) -> bool:
    client = await t.register()
    return refused(await t.exchange(client, await t.code(client), code_verifier=WRONG), "invalid_grant")


@probe
async def H12(t: Talk) -> bool:
    """Verifiers that prove the challenge, were it not for their length or their characters."""
    client = await t.register()
    for verifier in ("v" * 42, "v" * 129, "v" * 42 + " "):
        challenge = urlsafe_b64encode(sha256(verifier.encode()).digest()).rstrip(b"=").decode()
        code = await t.code(client, code_challenge=challenge)
        answer = await t.exchange(client, code, code_verifier=verifier)
        if not (refused(answer, "invalid_request") or refused(answer, "invalid_grant")):
            return False
    return True


@probe
async def H13(t: Talk) -> bool:
    client = await t.register()
    code = await t.code(client)
    await t.exchange(client, code, code_verifier=WRONG)
    return (await t.exchange(client, code)).status_code == 200


@probe
async def H14(t: Talk) -> bool:
    client = await t.register()
    code = await t.code(client)
    first = body(await t.exchange(client, code))
    again = refused(await t.exchange(client, code), "invalid_grant")
    dead = refused(await t.refresh(client, first["refresh_token"]), "invalid_grant")
    return again and dead and not await t.alive(first["access_token"])


@probe
async def H15(t: Talk) -> bool:
    client = await t.register()
    code = await t.code(client)
    first = body(await t.exchange(client, code))
    wrong = refused(await t.exchange(client, code, code_verifier=WRONG), "invalid_grant")
    return wrong and await t.alive(first["access_token"])


@probe
async def H16(t: Talk) -> bool:
    client = await t.register()
    code = await t.code(client)
    answers = await asyncio.gather(*(t.exchange(client, code) for _ in range(15)))
    statuses = [one.status_code for one in answers]
    return statuses.count(200) == 1 and max(statuses) < 500


@probe
async def H17(t: Talk) -> bool:
    client = await t.register()
    for resource in (t.resource, None):
        answer = await t.exchange(client, await t.code(client), resource=resource)
        if not for_us(t, answer.json()["access_token"]):
            return False
    return True


@probe
async def H18(t: Talk) -> bool:
    client = await t.register()
    code = await t.code(client)
    wrong = refused(await t.exchange(client, code, resource="https://other.example/mcp"), "invalid_target")
    return wrong and (await t.exchange(client, code)).status_code == 200


@probe
async def H19(t: Talk) -> bool:
    client = await t.register()
    code = await t.code(client)
    twice = await t.exchange(client, code, grant_type=["authorization_code"] * 2)
    return refused(twice, "invalid_request") and refused(
        await t.exchange(client, code, code_verifier=[VERIFIER] * 2), "invalid_request"
    )


@probe
async def H20(t: Talk) -> bool:
    client = await t.register()
    answer = await t.exchange(client, await t.code(client), foo="1", scope=WRITE)
    return answer.status_code == 200 and str(body(answer)["scope"]) == READ


@probe
async def H22(t: Talk) -> bool:
    without = await t.tokens(await t.register(grant_types=["authorization_code"]))
    return "refresh_token" not in without and "refresh_token" in await t.tokens(await t.register())


@probe
async def H23(t: Talk) -> bool:
    found = await t.tokens(await t.register())
    if opaque(found["access_token"]):
        return isinstance(found["expires_in"], int)
    claims = part(found["access_token"], 1)
    return bool(abs(claims["exp"] - claims["iat"] - found["expires_in"]) <= 1)


@probe
async def H24(t: Talk) -> bool:
    client = await t.register()
    answers = [await t.exchange(client, "x"), await t.exchange({**client, "client_id": "nobody"}, "x")]
    kept = all("no-store" in one.headers.get("cache-control", "") for one in answers)
    return (
        kept
        and [one.status_code for one in answers] == [400, 401]
        and all("error" in body(a) for a in answers)
    )


@probe
async def H26(t: Talk) -> bool:
    client = await t.register()
    for _ in range(60):
        answer = await t.exchange(client, "x" * 43)
        if answer.status_code == 429:
            return "retry-after" in answer.headers
    return False

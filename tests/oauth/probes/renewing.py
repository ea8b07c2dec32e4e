"""J, K, L: refreshing, revoking, introspecting."""

from __future__ import annotations

import asyncio

from .registry import probe
from .talk import READ, WRITE, Talk, body, refused

BOTH = f"{READ} {WRITE}"


@probe
async def J1(t: Talk) -> bool:
    client = await t.register()
    old = await t.tokens(client)
    new = body(await t.refresh(client, old["refresh_token"]))
    return await t.alive(new["access_token"]) and new["refresh_token"] != old["refresh_token"]


@probe
async def J2(t: Talk) -> bool:
    return refused(await t.refresh(await t.register(), None), "invalid_request")


@probe
async def J3(t: Talk) -> bool:
    return refused(await t.refresh(await t.register(), "x" * 43), "invalid_grant")


@probe
async def J4(t: Talk) -> bool:
    owner, other = await t.register(), await t.register()
    token = (await t.tokens(owner))["refresh_token"]
    stolen = refused(await t.refresh(other, token), "invalid_grant")
    return stolen and (await t.refresh(owner, token)).status_code == 200


@probe
async def J5(t: Talk) -> bool:
    client = await t.register()
    first = await t.tokens(client, scope=BOTH)
    narrow = body(await t.refresh(client, first["refresh_token"], scope=READ))
    full = body(await t.refresh(client, narrow["refresh_token"]))
    return narrow["scope"] == READ and set(full["scope"].split()) == {READ, WRITE}


@probe
async def J6(t: Talk) -> bool:
    client = await t.register()
    return refused(
        await t.refresh(client, (await t.tokens(client))["refresh_token"], scope=WRITE), "invalid_scope"
    )


@probe
async def J7(t: Talk) -> bool:
    client = await t.register()
    first = await t.tokens(client, scope=BOTH)
    again = body(await t.refresh(client, first["refresh_token"]))
    return set(again["scope"].split()) == {READ, WRITE}


@probe
async def J8(t: Talk) -> bool:
    client = await t.register()
    token = (await t.tokens(client))["refresh_token"]
    return refused(await t.refresh(client, token, resource="https://other.example/mcp"), "invalid_target")


@probe
async def J9(t: Talk) -> bool:
    client = await t.register()
    answer = await t.refresh(client, (await t.tokens(client))["refresh_token"])
    return await t.alive(body(answer)["access_token"])


@probe
async def J10(t: Talk) -> bool:
    client = await t.register()
    first = await t.tokens(client)
    second = body(await t.refresh(client, first["refresh_token"]))
    third = body(await t.refresh(client, second["refresh_token"]))
    reuse = refused(await t.refresh(client, first["refresh_token"]), "invalid_grant")
    dead = refused(await t.refresh(client, third["refresh_token"]), "invalid_grant")
    return reuse and dead and not await t.alive(third["access_token"])


@probe
async def J11(t: Talk) -> bool:
    client = await t.register()
    first = await t.tokens(client)
    lost = await t.refresh(client, first["refresh_token"])
    again = await t.refresh(client, first["refresh_token"])
    if (lost.status_code, again.status_code) != (200, 200):
        return False
    return (await t.refresh(client, again.json()["refresh_token"])).status_code == 200


@probe
async def J12(t: Talk) -> bool:
    client = await t.register()
    token = (await t.tokens(client))["refresh_token"]
    answers = await asyncio.gather(*(t.refresh(client, token) for _ in range(15)))
    successors = {body(one)["refresh_token"] for one in answers if one.status_code == 200}
    calm = all(one.status_code < 500 for one in answers) and len(successors) == 1
    return calm and (await t.refresh(client, successors.pop())).status_code == 200


@probe
async def J13(t: Talk) -> bool:
    client = await t.register()
    token = (await t.tokens(client))["refresh_token"]
    await t.refresh(client, token)
    again = await t.refresh(client, token)
    return again.status_code == 200 and await t.alive(again.json()["access_token"])


@probe
async def J15(t: Talk) -> bool:
    client = await t.confidential()
    token = (await t.tokens(client))["refresh_token"]
    return refused(await t.refresh(client, token, client_secret=None), "invalid_client", 401)


@probe
async def J16(t: Talk) -> bool:
    client = await t.register(grant_types=["authorization_code"])
    return refused(await t.refresh(client, "x" * 43), "unauthorized_client")


@probe
async def J18(t: Talk) -> bool:
    client = await t.register()
    one, other = await t.tokens(client), await t.tokens(client)
    return one["refresh_token"] != other["refresh_token"] and len(one["refresh_token"]) >= 22


@probe
async def J19(t: Talk) -> bool:
    client = await t.register()
    token = (await t.tokens(client))["refresh_token"]
    return refused(await t.refresh({**client, "client_id": "gone"}, token), "invalid_client", 401)


async def revoked(t: Talk, member: str, **form: str) -> bool:
    """Of a public client: the answer is 200, and the token of `member` is of no more use."""
    client = await t.register()
    found = await t.tokens(client)
    if (await t.call("/revoke", client, token=found[member], **form)).status_code != 200:
        return False
    if member == "refresh_token" and not refused(await t.refresh(client, found[member]), "invalid_grant"):
        return False
    return not await t.alive(found["access_token"])


async def ended(t: Talk, member: str, **form: str) -> bool:
    """As `revoked`, of a confidential client: what a server does that asks for a secret here."""
    client = await t.confidential()
    found = await t.tokens(client)
    answer = await t.call("/revoke", client, token=found[member], **form)
    return answer.status_code == 200 and not await t.alive(found["access_token"])


@probe
async def K1(t: Talk) -> bool:
    return await ended(t, "refresh_token")


@probe
async def K2(t: Talk) -> bool:
    return await ended(t, "access_token")


@probe
async def K3(t: Talk) -> bool:
    answer = await t.call("/revoke", await t.confidential(), token="unknown")
    return answer.status_code == 200 and answer.content in (b"", b"null", b"{}")


@probe
async def K4(t: Talk) -> bool:
    return refused(await t.call("/revoke", await t.confidential()), "invalid_request")


@probe
async def K5(t: Talk) -> bool:
    return await revoked(t, "refresh_token") and await revoked(t, "access_token")


@probe
async def K6(t: Talk) -> bool:
    client = await t.confidential()
    return refused(await t.call("/revoke", client, client_secret=None, token="x"), "invalid_client", 401)


@probe
async def K7(t: Talk) -> bool:
    owner, other = await t.register(), await t.confidential()
    token = (await t.tokens(owner))["access_token"]
    answer = await t.call("/revoke", other, token=token)
    return answer.status_code in (200, 400) and await t.alive(token)


@probe
async def K8(t: Talk) -> bool:
    one = await ended(t, "access_token", token_type_hint="refresh_token")
    return one and await ended(t, "refresh_token", token_type_hint="access_token")


@probe
async def K9(t: Talk) -> bool:
    return await ended(t, "access_token", token_type_hint="foo")


@probe
async def K11(t: Talk) -> bool:
    return (await t.get("/revoke")).status_code == 405


@probe
async def K13(t: Talk) -> bool:
    asked = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    answer = await t.http.options(
        "/revoke", headers={**asked, "Access-Control-Request-Headers": "authorization"}
    )
    return "authorization" in answer.headers.get("access-control-allow-headers", "").lower()


@probe
async def L1(t: Talk) -> bool:
    answer = await t.http.post("/introspect", data={"token": "x"})
    return refused(answer, "invalid_client", 401) and "www-authenticate" in answer.headers


@probe
async def L2(t: Talk) -> bool:
    client = await t.confidential()
    wrong = await t.call("/introspect", {**client, "client_secret": "wrong"}, token="x")
    public = await t.call("/introspect", await t.register(), token="x")
    return refused(wrong, "invalid_client", 401) and refused(public, "invalid_client", 401)


@probe
async def L3(t: Talk) -> bool:
    client = await t.confidential()
    token = (await t.tokens(client))["access_token"]
    found = body(await t.call("/introspect", client, token=token))
    named = {"scope", "client_id", "sub", "aud", "iss", "exp", "iat", "jti"}
    return found.get("active") is True and named <= found.keys() and found["token_type"] == "Bearer"


@probe
async def L4(t: Talk) -> bool:
    client = await t.confidential()
    gone = (await t.tokens(client))["access_token"]
    await t.call("/revoke", client, token=gone)
    answers = [await t.call("/introspect", client, token=one) for one in ("x", "a.b.c", gone)]
    return all(one.status_code == 200 and body(one) == {"active": False} for one in answers)


@probe
async def L5(t: Talk) -> bool:
    token = (await t.tokens(await t.confidential()))["access_token"]
    return body(await t.call("/introspect", await t.confidential(), token=token)) == {"active": False}


@probe
async def L6(t: Talk) -> bool:
    return refused(await t.call("/introspect", await t.confidential()), "invalid_request")


@probe
async def L7(t: Talk) -> bool:
    token, other = (await t.tokens(await t.confidential()))["refresh_token"], await t.confidential()
    return body(await t.call("/introspect", other, token=token)) == {"active": False}


@probe
async def L8(t: Talk) -> bool:
    client = await t.confidential()
    token = (await t.tokens(client))["access_token"]
    answer = await t.call("/introspect", client, token=token, token_type_hint="refresh_token")
    return body(answer).get("active") is True


@probe
async def L9(t: Talk) -> bool:
    return (await t.get("/introspect", params={"token": "x"})).status_code == 405


@probe
async def L10(t: Talk) -> bool:
    answer = await t.call("/introspect", await t.confidential(), token="x")
    kept = answer.status_code == 200 and "no-store" in answer.headers.get("cache-control", "")
    return kept and "access-control-allow-origin" not in answer.headers

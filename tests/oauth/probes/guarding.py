"""M, N, O: the tokens, the resource that takes them, and stepping up."""

from __future__ import annotations

import base64
import json
from typing import Any

from .registry import probe
from .talk import BOB, LEGACY, READ, READ_TOOL, WRITE, WRITE_TOOL, Talk, body, challenge, opaque, part

OTHER = "notes:delete"


async def access(t: Talk, **query: Any) -> str:
    token: str = (await t.tokens(await t.register(), **query))["access_token"]
    return token


async def keys(t: Talk) -> list[dict[str, Any]]:
    """None where no key is published."""
    uri: str = (await t.document()).get("jwks_uri", "")
    found: list[dict[str, Any]] = body(await t.get(uri.removeprefix(t.issuer)))["keys"] if uri else []
    return found


def packed(*parts: dict[str, Any]) -> str:
    return ".".join(base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in parts)


async def rejected(t: Talk, token: str) -> bool:
    answer = await t.mcp(token=token)
    return answer.status_code == 401 and challenge(answer).get("error") == "invalid_token"


@probe
async def M1(t: Talk) -> bool:
    header = part(await access(t), 0)
    known = {key["kid"] for key in await keys(t)}
    return header["typ"] == "at+jwt" and header["alg"][:2] in ("RS", "ES", "Ed") and header["kid"] in known


@probe
async def M2(t: Talk) -> bool:
    return any(key["kty"] == "RSA" and key["alg"] == "RS256" for key in await keys(t))


@probe
async def M3(t: Talk) -> bool:
    claims = part(await access(t), 1)
    there = {"exp", "sub", "client_id", "iat", "jti"} <= claims.keys()
    return there and claims["iss"] == t.issuer and claims["aud"] in (t.resource, [t.resource])


@probe
async def M4(t: Talk) -> bool:
    return bool(part(await access(t), 1)["scope"] == READ)


@probe
async def M5(t: Talk) -> bool:
    found = part(await access(t, resource=None), 1)["aud"]
    return found in (t.resource, [t.resource])


@probe
async def M6(t: Talk) -> bool:
    token = await access(t)
    return opaque(token) or "@" not in json.dumps(part(token, 1))


@probe
async def M8(t: Talk) -> bool:
    now = int(t.now())
    claims = {"iss": t.issuer, "aud": t.resource, "sub": "a", "exp": now + 60, "iat": now, "scope": READ}
    headers: list[dict[str, Any]] = [
        {"alg": "none", "typ": "at+jwt"},
        {"alg": "HS256", "typ": "at+jwt", "kid": "x"},
        {"alg": "RS256", "typ": "at+jwt", "jku": "https://evil.example/jwks"},
    ]
    for header in headers:
        if not await rejected(t, packed(header, claims) + ".AAAA"):
            return False
    return True


@probe
async def M11(t: Talk) -> bool:
    token = await access(t)
    odd = (token[:-9] + "AAAAAAAAA", token[:-20], token + ".a.b", "a" * 12_000)
    return all([await rejected(t, one) for one in odd])


@probe
async def M12(t: Talk) -> bool:
    private, found = {"d", "p", "q", "dp", "dq", "qi", "k"}, await keys(t)
    return bool(found) and all(
        {"kid", "alg"} <= key.keys() and key["use"] == "sig" and not private & key.keys() for key in found
    )


@probe
async def M14(t: Talk) -> bool:
    client = await t.register()
    one, other = (await t.tokens(client))["access_token"], (await t.tokens(client))["access_token"]
    return one != other and (opaque(one) or part(one, 1)["jti"] != part(other, 1)["jti"])


@probe
async def M15(t: Talk) -> bool:
    client = await t.register()
    code, refresh = await t.code(client), (await t.tokens(client))["refresh_token"]
    return all([await rejected(t, one) for one in (code, refresh, client["client_id"])])


@probe
async def M18(t: Talk) -> bool:
    return all(key["kty"] != "RSA" or len(key["n"]) >= 342 for key in await keys(t))


@probe
async def N1(t: Talk) -> bool:
    answer = await t.mcp()
    said = challenge(answer)
    return answer.status_code == 401 and {"resource_metadata", "scope"} <= said.keys() and "error" not in said


@probe
async def N2(t: Talk) -> bool:
    return await rejected(t, "nonsense") and "resource_metadata" in challenge(await t.mcp(token="nonsense"))


@probe
async def N3(t: Talk) -> bool:
    token = await access(t)
    answers = [await t.with_header([("Authorization", f"{one} {token}")]) for one in ("bearer", "BEARER")]
    return all(one.status_code == 200 for one in answers)


@probe
async def N4(t: Talk) -> bool:
    odd = [await t.with_header([("Authorization", one)]) for one in ("Basic YTpi", "Bearer", "Bearer a b")]
    return [one.status_code for one in odd][:2] == [401, 401] and odd[2].status_code in (400, 401)


@probe
async def N5(t: Talk) -> bool:
    token = await access(t)
    answer = await t.with_header([("Authorization", f"Bearer {token}"), ("Authorization", "Bearer other")])
    return answer.status_code in (400, 401)


@probe
async def N6(t: Talk) -> bool:
    return (await t.with_header([], path=f"/mcp?access_token={await access(t)}")).status_code == 401


@probe
async def N7(t: Talk) -> bool:
    return (await t.http.post("/mcp", data={"access_token": await access(t)})).status_code == 401


@probe
async def N8(t: Talk) -> bool:
    answers = [await t.with_header([], verb=verb) for verb in ("GET", "DELETE")]
    return all(one.status_code == 401 for one in answers)


@probe
async def N9(t: Talk) -> bool:
    methods = ("initialize", "ping", "tools/list", "server/discover", "notifications/initialized")
    return all([(await t.mcp(one, version=LEGACY)).status_code == 401 for one in methods])


@probe
async def N10(t: Talk) -> bool:
    said = [challenge(await t.mcp(token=one)) for one in (None, 'a"b', "nonsense")]
    return all("\n" not in value for one in said for value in one.values())


@probe
async def N11(t: Talk) -> bool:
    place = challenge(await t.mcp())["resource_metadata"]
    return place == t.issuer + "/.well-known/oauth-protected-resource/mcp"


@probe
async def N12(t: Talk) -> bool:
    asked = {"Origin": t.issuer, "Access-Control-Request-Method": "POST"}
    options = await t.http.options("/mcp", headers=asked)
    return options.status_code != 500 and (await t.with_header([], verb="HEAD")).status_code in (401, 405)


@probe
async def N15(t: Talk) -> bool:
    client = await t.confidential()
    token = (await t.tokens(client))["access_token"]
    before = await t.alive(token)
    await t.call("/revoke", client, token=token)
    return before and not await t.alive(token)


@probe
async def N17(t: Talk) -> bool:
    answer = await t.mcp(token="secret-looking-token")
    return bool(body(answer)) and "secret-looking-token" not in answer.text


@probe
async def N18(t: Talk) -> bool:
    answer = await t.mcp(token=await access(t))
    said = answer.headers.get("cache-control", "")
    return answer.status_code == 200 and (
        "no-store" in said or "private" in said or '"private"' in answer.text
    )


@probe
async def N21(t: Talk) -> bool:
    header = [("Authorization", f"Bearer {await access(t)}")]
    answer = await t.with_header(header, path="/mcp/")
    return answer.status_code in (200, 307, 308)


@probe
async def O1(t: Talk) -> bool:
    answer = await t.tool(WRITE_TOOL, await access(t))
    if answer.status_code != 403:
        return False
    said = challenge(answer)
    right = said.get("error") == "insufficient_scope" and WRITE in said.get("scope", "").split()
    return right and {"resource_metadata", "error_description"} <= said.keys()


@probe
async def O3(t: Talk) -> bool:
    answer = await t.tool(READ_TOOL, await access(t, scope=f"{WRITE}"))
    return answer.status_code == 200 and not body(answer).get("result", {}).get("isError")


@probe
async def O4(t: Talk) -> bool:
    token = await access(t)
    said = [challenge(await t.tool(WRITE_TOOL, token)) for _ in range(2)]
    return said[0] == said[1]


@probe
async def O6(t: Talk) -> bool:
    answer = await t.tool(WRITE_TOOL, await access(t), version=LEGACY)
    return answer.status_code == 403 and challenge(answer).get("error") == "insufficient_scope"


@probe
async def O9(t: Talk) -> bool:
    answer = await t.tool(WRITE_TOOL, await access(t, who=BOB))
    return answer.status_code == 200 and "www-authenticate" not in answer.headers


@probe
async def O13(t: Talk) -> bool:
    client = await t.register(scope=f"{READ} {OTHER}")
    token = (await t.tokens(client, scope=OTHER))["access_token"]
    answer = await t.tool(READ_TOOL, token)
    said = challenge(answer)
    return (
        answer.status_code == 403 and said["error"] == "insufficient_scope" and READ in said["scope"].split()
    )

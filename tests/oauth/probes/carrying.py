"""C: the HTTP around it: CORS, methods, bodies, caching."""

from __future__ import annotations

from .discovery import RESOURCE, SERVER
from .registry import probe
from .talk import VERIFIER, Talk, body, refused

ORIGIN = {"Origin": "https://inspector.example"}


def preflight(method: str, headers: str) -> dict[str, str]:
    return {**ORIGIN, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}


@probe
async def C1(t: Talk) -> bool:
    for path in (SERVER, RESOURCE + "/mcp"):
        answer = await t.http.options(path, headers=preflight("GET", "mcp-protocol-version"))
        allowed = answer.headers.get("access-control-allow-headers", "").lower()
        origin = answer.headers.get("access-control-allow-origin")
        if answer.status_code not in (200, 204) or origin not in ("*", ORIGIN["Origin"]):
            return False
        if "mcp-protocol-version" not in allowed:
            return False
    return True


@probe
async def C2(t: Talk) -> bool:
    for path in ("/token", "/register", "/revoke"):
        answer = await t.http.options(path, headers=preflight("POST", "authorization, content-type"))
        allowed = answer.headers.get("access-control-allow-headers", "").lower()
        if answer.status_code not in (200, 204) or "authorization" not in allowed:
            return False
        if "access-control-allow-credentials" in answer.headers:
            return False
    return True


@probe
async def C3(t: Talk) -> bool:
    answers = [await t.http.request(verb, "/authorize", headers=ORIGIN) for verb in ("GET", "OPTIONS")]
    return all("access-control-allow-origin" not in one.headers for one in answers)


@probe
async def C5(t: Talk) -> bool:
    answer = await t.get("/token")
    return answer.status_code == 405 and "POST" in answer.headers.get("allow", "")


@probe
async def C6(t: Talk) -> bool:
    client = await t.register()
    answer = await t.http.post("/token", json={"grant_type": "authorization_code", **client})
    return answer.status_code == 415 or refused(answer, "invalid_request")


@probe
async def C7(t: Talk) -> bool:
    answer = await t.try_register()
    client = body(answer)
    issued = await t.exchange(client, await t.code(client))
    return all("no-store" in one.headers.get("cache-control", "") for one in (answer, issued))


@probe
async def C8(t: Talk) -> bool:
    client = await t.confidential()
    form = {"grant_type": "authorization_code", "code": await t.code(client), "code_verifier": VERIFIER}
    named = {name: client[name] for name in ("client_id", "client_secret")}
    return (await t.http.post("/token", params=named, data=form)).status_code in (400, 401)


@probe
async def C9(t: Talk) -> bool:
    answer = await t.http.post("/token", data={"code": "a" * (5 << 20)})
    return answer.status_code in (400, 413)


@probe
async def C10(t: Talk) -> bool:
    bodies = (b"", b"\x00\xff\xfe", b"%%%=&&=;", b"{", b"[]", b"a=" + b"\xc3\x28" * 9, b"grant_type=\x00")
    forms = {"Content-Type": "application/x-www-form-urlencoded"}
    for path in ("/token", "/register", "/revoke"):
        for content in bodies:
            if (await t.http.post(path, content=content, headers=forms)).status_code >= 500:
                return False
    return True


@probe
async def C11(t: Talk) -> bool:
    spoofed = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "http", "X-Real-IP": "127.0.0.1"}
    same = body(await t.get(SERVER, headers=spoofed)) == await t.document()
    who = [("Cf-Access-Authenticated-User-Email", "alice@example.com"), *spoofed.items()]
    return same and (await t.with_header(who)).status_code == 401

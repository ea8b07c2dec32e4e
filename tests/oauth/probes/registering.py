"""D: dynamic client registration (RFC 7591)."""

from __future__ import annotations

from typing import Any

from .discovery import tidy
from .registry import probe
from .talk import CALLBACK, READ, WRITE, Talk, refused, sent_back


async def all_refused(t: Talk, error: str, member: str, *values: Any) -> bool:
    answers = [await t.try_register(**{member: one}) for one in values]
    return all(refused(one, error) for one in answers)


async def uris_refused(t: Talk, *uris: Any) -> bool:
    return await all_refused(t, "invalid_redirect_uri", "redirect_uris", *([one] for one in uris))


@probe
async def D1(t: Talk) -> bool:
    client = await t.register()
    echoed = client["redirect_uris"] == [CALLBACK] and client["client_name"] == "Probe"
    return echoed and client["token_endpoint_auth_method"] == "none" and "client_secret" not in client


@probe
async def D2(t: Talk) -> bool:
    client = await t.confidential()
    return bool(client["client_secret"]) and isinstance(client["client_secret_expires_at"], int)


@probe
async def D3(t: Talk) -> bool:
    client = await t.register(token_endpoint_auth_method=None)
    return bool(client["token_endpoint_auth_method"] == "client_secret_basic")


@probe
async def D4(t: Talk) -> bool:
    client = await t.register(grant_types=None)
    return "authorization_code" in client["grant_types"] and client["response_types"] == ["code"]


@probe
async def D5(t: Talk) -> bool:
    return refused(await t.try_register(redirect_uris=None), "invalid_redirect_uri")


@probe
async def D6(t: Talk) -> bool:
    return await uris_refused(t, "javascript:alert(1)")


@probe
async def D7(t: Talk) -> bool:
    blob = "blob:https://a.example/1"
    return await uris_refused(t, "data:text/html,a", "vbscript:a", "file:///etc/passwd", "about:blank", blob)


@probe
async def D8(t: Talk) -> bool:
    return await uris_refused(t, "http://evil.example/cb")


@probe
async def D9(t: Talk) -> bool:
    return await uris_refused(t, "https://a.example/cb#frag")


@probe
async def D10(t: Talk) -> bool:
    long = "https://a.example/" + "a" * 2048
    odd = ("/cb", "", "https://u:p@h.example/cb", "https://*.a.example/cb", "https://a.example/\x00cb", long)
    return await uris_refused(t, *odd)


@probe
async def D11(t: Talk) -> bool:
    uris = ["http://127.0.0.1/cb", "http://[::1]:0/cb", "http://localhost:1234/cb"]
    return (await t.try_register(redirect_uris=uris)).status_code == 201


@probe
async def D12(t: Talk) -> bool:
    own = await t.try_register(redirect_uris=["com.example.app:/cb"])
    editor = await t.try_register(redirect_uris=["cursor://anysphere.cursor-mcp/oauth/callback"])
    return (own.status_code, editor.status_code) == (201, 201) and await uris_refused(t, "whatever://cb")


@probe
async def D13(t: Talk) -> bool:
    if not await all_refused(t, "invalid_client_metadata", "grant_types", ["implicit"], ["password"]):
        return False
    beside = await t.try_register(grant_types=["authorization_code", "password"])
    return beside.status_code == 400 or "password" not in beside.json()["grant_types"]


@probe
async def D14(t: Talk) -> bool:
    more = ["urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:device_code"]
    client = await t.register(grant_types=["authorization_code", "refresh_token", *more])
    return not set(more) & set(client["grant_types"])


@probe
async def D15(t: Talk) -> bool:
    return await all_refused(t, "invalid_client_metadata", "response_types", ["token"])


@probe
async def D16(t: Talk) -> bool:
    return await all_refused(
        t, "invalid_client_metadata", "token_endpoint_auth_method", "client_secret_jwt", "nonsense"
    )


@probe
async def D17(t: Talk) -> bool:
    key = {"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}
    both = await t.try_register(jwks=key, jwks_uri="https://a.example/jwks")
    neither = await t.try_register(token_endpoint_auth_method="private_key_jwt")
    return all(refused(one, "invalid_client_metadata") for one in (both, neither))


@probe
async def D18(t: Talk) -> bool:
    sent = {"Content-Type": "application/json"}
    answers = [
        await t.http.post("/register", content=content, headers=sent) for content in (b"{", b"[]", b"")
    ]
    return all(refused(one, "invalid_client_metadata") for one in answers)


@probe
async def D19(t: Talk) -> bool:
    odd = {"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none", "foo": 1, "client_uri": None}
    answer = await t.http.post("/register", json=odd)
    return answer.status_code == 201 and tidy(answer.json())


@probe
async def D20(t: Talk) -> bool:
    for scope in ("", None):
        client = await t.register(scope=scope)
        if "code" not in sent_back(await t.allow(client)):
            return False
    return True


@probe
async def D21(t: Talk) -> bool:
    client = await t.register(scope=f"{READ} openid email profile unheard:of")
    return "unheard:of" not in client["scope"].split()


@probe
async def D22(t: Talk) -> bool:
    client = await t.register(scope=READ)
    return "code" in sent_back(await t.allow(client, scope=WRITE))


@probe
async def D23(t: Talk) -> bool:
    kinds = [await t.try_register(application_type=one) for one in ("native", "web", None)]
    return all(one.status_code == 201 for one in kinds)


@probe
async def D24(t: Talk) -> bool:
    given = {"client_id": "mine", "client_secret": "mine", "client_id_issued_at": 1}
    client = await t.register(token_endpoint_auth_method="client_secret_post", **given)
    return all(client[name] != value for name, value in given.items())


@probe
async def D25(t: Talk) -> bool:
    one, other = await t.confidential(), await t.confidential()
    long = len(one["client_secret"]) >= 22 and len(one["client_id"]) >= 22
    return long and one["client_id"] != other["client_id"] and not one["client_id"].startswith("https://")


@probe
async def D26(t: Talk) -> bool:
    for member in ("client_uri", "logo_uri", "tos_uri", "policy_uri"):
        if not await all_refused(t, "invalid_client_metadata", member, "javascript:alert(1)"):
            return False
    return True


@probe
async def D28(t: Talk) -> bool:
    for _ in range(60):
        answer = await t.try_register()
        if answer.status_code == 429:
            return "retry-after" in answer.headers
    return False


@probe
async def D29(t: Talk) -> bool:
    return (await t.get("/register")).status_code == 405


@probe
async def D30(t: Talk) -> bool:
    answer = await t.try_register(software_statement="eyJhbGciOiJub25lIn0.eyJjbGllbnRfbmFtZSI6IkJhbmsifQ.")
    if answer.status_code == 201:
        return bool(answer.json()["client_name"] == "Probe")
    return refused(answer, "invalid_software_statement")

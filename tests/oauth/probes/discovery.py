"""A, B: what a server says of itself."""

from __future__ import annotations

from typing import Any

from .registry import probe
from .talk import Talk, body, challenge

SERVER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
RESOURCE = "/.well-known/oauth-protected-resource"


def tidy(value: Any) -> bool:
    """RFC 8414 §3.2: no null, no empty array."""
    members = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is not None and value != [] and all(tidy(one) for one in members)


@probe
async def A1(t: Talk) -> bool:
    answer = await t.get(SERVER)
    return answer.status_code == 200 and bool(body(answer))


@probe
async def A2(t: Talk) -> bool:
    return bool((await t.document())["issuer"] == t.issuer)


@probe
async def A3(t: Talk) -> bool:
    found = await t.document()
    places = (found["authorization_endpoint"], found["token_endpoint"])
    return all(one.startswith(t.issuer + "/") for one in places) and "response_types_supported" in found


@probe
async def A4(t: Talk) -> bool:
    return bool((await t.document())["response_types_supported"] == ["code"])


@probe
async def A5(t: Talk) -> bool:
    return bool((await t.document())["code_challenge_methods_supported"] == ["S256"])


@probe
async def A6(t: Talk) -> bool:
    grants = set((await t.document())["grant_types_supported"])
    return {"authorization_code", "refresh_token"} <= grants and not grants & {"password", "implicit"}


@probe
async def A7(t: Talk) -> bool:
    methods = set((await t.document())["token_endpoint_auth_methods_supported"])
    return {"none", "client_secret_post", "client_secret_basic"} <= methods


@probe
async def A8(t: Talk) -> bool:
    return (await t.document()).get("authorization_response_iss_parameter_supported") is True


@probe
async def A9(t: Talk) -> bool:
    return (await t.document()).get("client_id_metadata_document_supported") is True


@probe
async def A10(t: Talk) -> bool:
    return (await t.document()).get("registration_endpoint") == t.issuer + "/register"


@probe
async def A11(t: Talk) -> bool:
    found = await t.document()
    there = found.get("revocation_endpoint") == t.issuer + "/revoke"
    return there and "none" in found.get("revocation_endpoint_auth_methods_supported", ())


@probe
async def A12(t: Talk) -> bool:
    found = await t.document()
    methods = found.get("introspection_endpoint_auth_methods_supported", ["none"])
    return "introspection_endpoint" in found and "none" not in methods


@probe
async def A13(t: Talk) -> bool:
    uri = (await t.document()).get("jwks_uri", "")
    if not uri.startswith(t.issuer):
        return False
    return bool(body(await t.get(uri.removeprefix(t.issuer))).get("keys"))


@probe
async def A14(t: Talk) -> bool:
    return "offline_access" in (await t.document()).get("scopes_supported", ())


@probe
async def A15(t: Talk) -> bool:
    return tidy(await t.document())


@probe
async def A16(t: Talk) -> bool:
    found = await t.document()
    signed = "private_key_jwt" in found["token_endpoint_auth_methods_supported"]
    listed = found.get("token_endpoint_auth_signing_alg_values_supported")
    return signed == (listed is not None) and "none" not in (listed or ())


@probe
async def A17(t: Talk) -> bool:
    found, server = await t.document("openid-configuration"), await t.document()
    needed = {"jwks_uri", "subject_types_supported", "id_token_signing_alg_values_supported"}
    same = all(found.get(name) == server[name] for name in ("issuer", "token_endpoint"))
    return needed <= found.keys() and same and found["code_challenge_methods_supported"] == ["S256"]


@probe
async def A18(t: Talk) -> bool:
    server = await t.document()
    for path in (SERVER + "/mcp", OPENID + "/mcp"):
        answer = await t.get(path)
        if not (answer.status_code == 404 or (answer.status_code == 200 and body(answer) == server)):
            return False
    return True


@probe
async def A19(t: Talk) -> bool:
    answers = [await t.http.request(verb, SERVER) for verb in ("POST", "DELETE")]
    return all(one.status_code == 405 and "allow" in one.headers for one in answers)


@probe
async def A20(t: Talk) -> bool:
    said = (await t.get(SERVER)).headers.get("cache-control", "")
    age = said.rpartition("max-age=")[2]
    return "public" in said and age.isdigit() and 300 <= int(age) <= 3600


@probe
async def A21(t: Talk) -> bool:
    answer = await t.get(SERVER, headers={"Host": "evil.example"})
    return 400 <= answer.status_code < 500 or body(answer) == await t.document()


@probe
async def A22(t: Talk) -> bool:
    found = await t.document()
    places = [v for k, v in found.items() if k.endswith("_endpoint") or k == "jwks_uri"]
    return all([(await t.get(one.removeprefix(t.issuer))).status_code != 404 for one in places])


@probe
async def B1(t: Talk) -> bool:
    answer = await t.get(RESOURCE + "/mcp")
    return answer.status_code == 200 and bool(body(answer))


@probe
async def B2(t: Talk) -> bool:
    return body(await t.get(RESOURCE)).get("resource") == t.resource


@probe
async def B3(t: Talk) -> bool:
    return body(await t.get(RESOURCE + "/mcp")).get("resource") == t.resource


@probe
async def B4(t: Talk) -> bool:
    return body(await t.get(RESOURCE + "/mcp")).get("authorization_servers") == [t.issuer]


@probe
async def B5(t: Talk) -> bool:
    scopes = body(await t.get(RESOURCE + "/mcp")).get("scopes_supported", [])
    return bool(scopes) and "offline_access" not in scopes


@probe
async def B6(t: Talk) -> bool:
    return body(await t.get(RESOURCE + "/mcp")).get("bearer_methods_supported") == ["header"]


@probe
async def B7(t: Talk) -> bool:
    found = body(await t.get(RESOURCE + "/mcp"))
    return all(isinstance(found.get(one), str) for one in ("resource_name", "resource_documentation"))


@probe
async def B8(t: Talk) -> bool:
    return tidy(await t.document("oauth-protected-resource/mcp"))


@probe
async def B9(t: Talk) -> bool:
    """404, or what everybody hears who is not signed in: no document that names another resource."""
    answer = await t.get(RESOURCE + "/other")
    return answer.status_code in (401, 403, 404) and "resource" not in body(answer)


@probe
async def B10(t: Talk) -> bool:
    answer = await t.get(RESOURCE + "/mcp")
    return answer.status_code == 200 and "set-cookie" not in answer.headers


@probe
async def B11(t: Talk) -> bool:
    place = challenge(await t.mcp())["resource_metadata"]
    found = body(await t.get(place.removeprefix(t.issuer)))
    return place.startswith(t.issuer) and found == await t.document("oauth-protected-resource/mcp")

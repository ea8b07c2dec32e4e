"""Discovery and the manners of HTTP: groups A, B and C."""

from __future__ import annotations

import httpx2
import pytest

from app.policy.parse import parse

from .desk import ISSUER, RESOURCE, Desk, is_refused

SERVER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
PROTECTED = "/.well-known/oauth-protected-resource"
DOCUMENTS = (SERVER, OPENID, PROTECTED, f"{PROTECTED}/mcp")


def has_nothing_empty(value: object) -> bool:
    if isinstance(value, dict):
        return all(has_nothing_empty(one) for one in value.values())
    return value is not None and value != []


async def test_A1_A15_B8_the_documents_are_json_objects_without_nulls_or_empty_lists(desk: Desk) -> None:
    for path in DOCUMENTS:
        reply = await desk.anybody.get(path)
        assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
        assert has_nothing_empty(reply.json())


async def test_A2_B3_B4_issuer_and_resource_are_the_same_strings_everywhere(desk: Desk) -> None:
    server, openid = [(await desk.anybody.get(path)).json() for path in (SERVER, OPENID)]
    resource = (await desk.anybody.get(PROTECTED)).json()
    assert server["issuer"] == openid["issuer"] == ISSUER
    assert resource["authorization_servers"] == [ISSUER]
    assert resource["resource"] == RESOURCE


async def test_A3_to_A12_what_the_server_says_it_can(desk: Desk) -> None:
    said = (await desk.anybody.get(SERVER)).json()
    assert said["response_types_supported"] == ["code"]
    assert said["code_challenge_methods_supported"] == ["S256"]
    assert set(said["grant_types_supported"]) == {"authorization_code", "refresh_token", "client_credentials"}
    assert {"none", "client_secret_post", "client_secret_basic", "private_key_jwt"} == set(
        said["token_endpoint_auth_methods_supported"]
    )
    assert said["authorization_response_iss_parameter_supported"] is True
    assert said["client_id_metadata_document_supported"] is False  # none was wired
    assert "none" in said["revocation_endpoint_auth_methods_supported"]
    assert "none" not in said["introspection_endpoint_auth_methods_supported"]
    assert "none" not in said["token_endpoint_auth_signing_alg_values_supported"]
    assert said["jwks_uri"] == f"{ISSUER}/jwks"


async def test_A14_B5_offline_access_is_the_servers_and_operating_is_nobodys(desk: Desk) -> None:
    server = (await desk.anybody.get(SERVER)).json()["scopes_supported"]
    resource = (await desk.anybody.get(PROTECTED)).json()["scopes_supported"]
    assert server == ["mcp:tools:read", "mcp:tools:write", "notes:delete", "offline_access"]
    assert resource == ["mcp:tools:read"]


async def test_A17_strict_openid_parsers_find_what_they_need(desk: Desk) -> None:
    said = (await desk.anybody.get(OPENID)).json()
    assert {"jwks_uri", "subject_types_supported", "id_token_signing_alg_values_supported"} <= said.keys()
    assert (await desk.anybody.get(SERVER)).json().items() <= said.items()


@pytest.mark.parametrize("path", [f"{SERVER}/mcp", f"{OPENID}/mcp"])
async def test_A18_there_is_no_issuer_with_a_path(desk: Desk, path: str) -> None:
    reply = await desk.anybody.get(path)
    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/json")


async def test_A19_documents_are_only_read(desk: Desk) -> None:
    for method in ("POST", "DELETE"):
        reply = await desk.anybody.request(method, SERVER)
        assert (reply.status_code, reply.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_A20_documents_may_be_kept_for_minutes(desk: Desk) -> None:
    assert (await desk.anybody.get(SERVER)).headers["cache-control"] == "public, max-age=300"


async def test_A21_C11_headers_change_nothing_in_a_document(desk: Desk) -> None:
    as_is = await desk.anybody.get(SERVER)
    spoofed = {"host": "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "http"}
    assert (await desk.anybody.get(SERVER, headers=spoofed)).json() == as_is.json()


async def test_A22_every_advertised_endpoint_is_there(desk: Desk) -> None:
    said = (await desk.anybody.get(SERVER)).json()
    paths = {url.removeprefix(ISSUER) for name, url in said.items() if name.endswith("_endpoint")}
    assert paths <= {*desk.found.public, *desk.found.signed_in}
    assert len(paths) == 5


async def test_a_policy_that_changes_changes_the_scopes(desk: Desk) -> None:
    desk.rules = parse("version = 1")
    assert (await desk.anybody.get(SERVER)).json()["scopes_supported"] == [
        "mcp:tools:read",
        "mcp:tools:write",
        "offline_access",
    ]


async def preflight(client: httpx2.AsyncClient, path: str, headers: str) -> httpx2.Response:
    asked = {"origin": "https://page.example", "access-control-request-method": "POST"}
    return await client.options(path, headers={**asked, "access-control-request-headers": headers})


@pytest.mark.parametrize("path", DOCUMENTS)
async def test_C1_pages_of_any_origin_may_discover(desk: Desk, path: str) -> None:
    reply = await preflight(desk.anybody, path, "mcp-protocol-version")
    assert reply.status_code == 204
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "mcp-protocol-version" in reply.headers["access-control-allow-headers"]
    assert (await desk.anybody.get(path)).headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/token", "/register", "/revoke"])
async def test_C2_K13_pages_of_any_origin_may_be_clients_but_never_with_cookies(
    desk: Desk, path: str
) -> None:
    reply = await preflight(desk.anybody, path, "authorization, content-type")
    assert {"authorization", "content-type"} <= set(reply.headers["access-control-allow-headers"].split(", "))
    assert reply.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in reply.headers


@pytest.mark.parametrize("path", ["/authorize", "/consent", "/introspect"])
async def test_C3_L10_no_page_of_another_origin_reads_these(desk: Desk, path: str) -> None:
    reply = await preflight(desk.anybody, path, "content-type")
    assert reply.status_code == 405
    assert "access-control-allow-origin" not in reply.headers


@pytest.mark.parametrize("path", ["/token", "/register", "/revoke", "/introspect"])
async def test_C5_D29_K11_L9_nothing_is_asked_by_get(desk: Desk, path: str) -> None:
    reply = await desk.anybody.get(path, params={"token": "t"})
    assert reply.status_code == 405
    assert reply.headers["allow"].startswith("POST")


async def test_C6_a_token_request_is_a_form(desk: Desk) -> None:
    reply = await desk.anybody.post("/token", json={"grant_type": "authorization_code"})
    assert is_refused(reply, "invalid_request")


async def test_C8_credentials_in_the_query_count_for_nothing(desk: Desk) -> None:
    client = await desk.register(token_endpoint_auth_method="client_secret_post")
    query = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    reply = await desk.anybody.post("/token", params=query, data={"grant_type": "refresh_token"})
    assert is_refused(reply, "invalid_client", 401)


@pytest.mark.parametrize("path", ["/token", "/register", "/revoke", "/introspect", "/consent"])
async def test_C9_a_body_beyond_the_limit_is_not_read_to_its_end(desk: Desk, path: str) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    kind = {"content-type": "application/json"} if path == "/register" else form
    reply = await desk.anybody.post(path, content=b"a" * 70_000, headers={**kind, "origin": ISSUER})
    assert reply.status_code == 413

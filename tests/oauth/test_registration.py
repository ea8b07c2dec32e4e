"""Dynamic client registration: group D."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .desk import CALLBACK, Desk, answered, is_page, is_refused

PUBLIC = {"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "none"}


async def refused(desk: Desk, code: str, **changed: Any) -> bool:
    return is_refused(await desk.anybody.post("/register", json={**PUBLIC, **changed}), code)


async def test_D1_C7_a_public_client_gets_an_id_and_no_secret(desk: Desk) -> None:
    reply = await desk.anybody.post("/register", json={**PUBLIC, "client_name": "Claude"})
    assert reply.status_code == 201
    assert reply.headers["cache-control"] == "no-store"
    body = reply.json()
    assert "client_secret" not in body
    assert body["client_name"] == "Claude"
    assert body["redirect_uris"] == [CALLBACK]
    assert isinstance(body["client_id_issued_at"], int)


async def test_D2_a_confidential_client_gets_a_secret_that_does_not_end(desk: Desk) -> None:
    body = await desk.register(token_endpoint_auth_method="client_secret_post")
    assert len(body["client_secret"]) >= 43
    assert body["client_secret_expires_at"] == 0


@pytest.mark.parametrize("given", [{}, {"token_endpoint_auth_method": None}])
async def test_D3_without_a_method_it_is_basic(desk: Desk, given: dict[str, Any]) -> None:
    reply = await desk.anybody.post("/register", json={"redirect_uris": [CALLBACK], **given})
    assert reply.json()["token_endpoint_auth_method"] == "client_secret_basic"


async def test_D4_grant_and_response_types_have_defaults(desk: Desk) -> None:
    body = await desk.register()
    assert body["grant_types"] == ["authorization_code", "refresh_token"]
    assert body["response_types"] == ["code"]


@pytest.mark.parametrize("uris", [None, [], "https://a.example/cb", {}, [None], [7], [[CALLBACK]]])
async def test_D5_without_redirect_uris_there_is_no_client(desk: Desk, uris: Any) -> None:
    assert await refused(desk, "invalid_redirect_uri", redirect_uris=uris)


@pytest.mark.parametrize(
    "uri",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "about:blank",
        "blob:https://a.example/x",
        "http://evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://localhost@evil.example/cb",
        "http://127.0.0.1:99999/cb",
        "http://127.0.0.2/cb",
        "https://a.example/cb#frag",
        "https://a.example/cb#",
        "/cb",
        "//a.example/cb",
        "",
        "https://",
        "https:///cb",
        "https:a.example",
        "https://u:p@a.example/cb",
        "https://u@a.example/cb",
        "https://*.a.example/cb",
        "https://a.example/*",
        "https://a.example\\@evil.example/cb",
        "https://a.example/cb\n",
        "https://a.example/c b",
        "https://a.example/\x00",
        "https://bücher.example/cb",
        "https://a.example:0/cb",
        "https://a.example:70000/cb",
        "https://a.example/x/../cb",
        "https://a.example/%2e%2e/cb",
        "https://a.example/" + "x" * 2048,
        "HTTPS://a.example/cb",
        "nodot://cb",
        "com.example.app:",
    ],
)
async def test_D6_to_D10_addresses_that_nobody_may_register(desk: Desk, uri: str) -> None:
    assert await refused(desk, "invalid_redirect_uri", redirect_uris=[CALLBACK, uri])


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1/cb",
        "http://[::1]:0/cb",
        "http://localhost:1234/cb",
        "http://127.0.0.1/",
        "http://127.0.0.1:33418",
        "https://vscode.dev/redirect",
        "https://a.example/cb?x=1&flag",
        "https://[2001:db8::1]/cb",
        "com.example.app:/cb",
        "cursor://anysphere.cursor-mcp/oauth/callback",
        "vscode-insiders://vscode.mcp/cb",
        "windsurf://callback",
    ],
)
async def test_D11_D12_addresses_of_native_clients_and_editors(desk: Desk, uri: str) -> None:
    assert (await desk.register(redirect_uris=[uri]))["redirect_uris"] == [uri]


@pytest.mark.parametrize(
    "grants", [["implicit"], ["password"], ["client_credentials"], ["refresh_token"], "x"]
)
async def test_D13_without_a_code_there_is_no_way_in(desk: Desk, grants: Any) -> None:
    assert await refused(desk, "invalid_client_metadata", grant_types=grants)


async def test_D13_D14_grant_types_that_we_do_not_have_are_dropped(desk: Desk) -> None:
    others = ["implicit", "password", "urn:ietf:params:oauth:grant-type:jwt-bearer", "client_credentials"]
    body = await desk.register(grant_types=["authorization_code", *others])
    assert body["grant_types"] == ["authorization_code"]


@pytest.mark.parametrize("types", [["token"], ["id_token"], "code"])
async def test_D15_the_response_type_is_code(desk: Desk, types: Any) -> None:
    assert await refused(desk, "invalid_client_metadata", response_types=types)


@pytest.mark.parametrize("method", ["client_secret_jwt", "tls_client_auth", 7, ["none"], {}])
async def test_D16_methods_that_we_do_not_have(desk: Desk, method: Any) -> None:
    assert await refused(desk, "invalid_client_metadata", token_endpoint_auth_method=method)


@pytest.mark.parametrize(
    "keys",
    [
        {},
        {"jwks": {"keys": [{"kty": "RSA"}]}, "jwks_uri": "https://a.example/jwks"},
        {"jwks_uri": "http://a.example/jwks"},
        {"jwks": {"keys": []}},
        {"jwks": "x"},
        {"jwks": {"keys": [{"kty": "EC", "d": "private"}]}},
    ],
)
async def test_D17_signed_assertions_need_one_set_of_public_keys(desk: Desk, keys: dict[str, Any]) -> None:
    assert await refused(
        desk, "invalid_client_metadata", token_endpoint_auth_method="private_key_jwt", **keys
    )


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"null", b'{"a":', b"\xff", b"[" * 60_000, b'{"a":NaN}'])
async def test_D18_what_is_no_json_object_is_no_registration(desk: Desk, body: bytes) -> None:
    reply = await desk.anybody.post("/register", content=body, headers={"content-type": "application/json"})
    assert is_refused(reply, "invalid_client_metadata")


async def test_D19_unknown_members_and_nulls_do_no_harm_and_do_not_come_back(desk: Desk) -> None:
    body = await desk.register(foo=1, client_name=None, scope=None, jwks=None, logo_uri=None, contacts=None)
    assert "foo" not in body
    assert None not in body.values()


@pytest.mark.parametrize("scope", ["", None, "openid profile email", "nonsense", 'bad"syntax', 7])
async def test_D20_D21_whatever_scope_it_registers_it_can_come_in(desk: Desk, scope: Any) -> None:
    client = await desk.register(scope=scope)
    assert client["scope"] == "mcp:tools:read"
    assert (await desk.ask(client)).status_code == 200


async def test_D21_unknown_scopes_are_dropped_from_the_answer(desk: Desk) -> None:
    assert (await desk.register(scope="x mcp:tools:write"))["scope"] == "mcp:tools:write"


async def test_D22_what_was_registered_does_not_cap_what_is_asked_later(desk: Desk) -> None:
    client = await desk.register(scope="mcp:tools:read")
    tokens = await desk.tokens(client, scope="mcp:tools:write")
    assert tokens["scope"] == "mcp:tools:read mcp:tools:write"


@pytest.mark.parametrize("kind", ["web", "native", None])
async def test_D23_the_application_type_decides_nothing(desk: Desk, kind: str | None) -> None:
    await desk.register(application_type=kind, redirect_uris=["http://localhost/cb"])


async def test_D24_ids_and_secrets_are_never_the_clients_choice(desk: Desk) -> None:
    sent = {"client_id": "mine", "client_secret": "mine", "client_id_issued_at": 1}
    body = await desk.register(token_endpoint_auth_method="client_secret_basic", **sent)
    assert not any(body[name] == value for name, value in sent.items())


async def test_D25_E24_ids_are_unique_and_never_look_like_a_document(desk: Desk) -> None:
    ids = {(await desk.register(client_id="https://a.example/x"))["client_id"] for _ in range(5)}
    assert len(ids) == 5
    assert not any("://" in one for one in ids)


@pytest.mark.parametrize("member", ["client_uri", "logo_uri", "tos_uri", "policy_uri"])
@pytest.mark.parametrize("value", ["javascript:alert(1)", "x", 7, 'https://a.example/"><script>'])
async def test_D26_links_of_a_client_run_nothing(desk: Desk, member: str, value: Any) -> None:
    assert await refused(desk, "invalid_client_metadata", **{member: value})


async def test_D27_a_name_is_cut_to_what_fits_and_holds_no_controls(desk: Desk) -> None:
    sent = json.dumps({**PUBLIC, "client_name": "<b>\x00\ud800" + "n" * 10_000}).encode()
    reply = await desk.anybody.post("/register", content=sent, headers={"content-type": "application/json"})
    body = reply.json()
    assert body["client_name"] == "<b>" + "n" * 97


async def test_D28_registrations_of_one_address_are_limited(desk: Desk) -> None:
    headers = {"cf-connecting-ip": "192.0.2.1"}
    replies = [await desk.anybody.post("/register", json=PUBLIC, headers=headers) for _ in range(50)]
    assert {reply.status_code for reply in replies} == {201, 429}
    assert int(replies[-1].headers["retry-after"]) >= 1
    elsewhere = {"cf-connecting-ip": "192.0.2.2"}
    assert (await desk.anybody.post("/register", json=PUBLIC, headers=elsewhere)).status_code == 201
    desk.clock.advance(60)
    assert (await desk.anybody.post("/register", json=PUBLIC, headers=headers)).status_code == 201


async def test_D28_Q11_clients_that_nobody_uses_are_forgotten(desk: Desk) -> None:
    used, unused = await desk.register(), await desk.register()
    operators = await desk.machine()
    await desk.tokens(used)
    desk.clock.advance(31 * 86_400)
    await desk.store.collect_garbage(desk.clock())
    assert await desk.store.find_client(used["client_id"]) is not None
    assert await desk.store.find_client(operators["client_id"]) is not None
    assert is_page(await desk.ask(unused))


async def test_D30_a_software_statement_is_not_believed(desk: Desk) -> None:
    assert "software_statement" not in await desk.register(software_statement="e30.e30.x")


async def test_G24_a_registration_is_on_record_without_its_secret(desk: Desk) -> None:
    body = await desk.register(token_endpoint_auth_method="client_secret_basic")
    assert [event.operation for event in desk.events] == ["oauth/register"]
    assert body["client_secret"] not in repr(desk.events)
    assert desk.events[0].request_id == "request-1"


async def test_an_answer_goes_to_the_registered_address_of_an_editor(desk: Desk) -> None:
    uri = "cursor://anysphere.cursor-mcp/oauth/callback"
    reply = await desk.answer(await desk.ask(await desk.register(redirect_uris=[uri])))
    assert reply.headers["location"].startswith(f"{uri}?code=")
    assert answered(reply)["state"] == "s t&te"

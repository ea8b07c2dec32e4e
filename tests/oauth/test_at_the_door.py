"""What clients find at the tunnel door of a whole house before they have anything, and when it goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from app.oauth.authorize import Question, authorize
from app.oauth.errors import PageError
from app.oauth.forms import Form
from app.oauth.models import Client
from app.simulator import SigningKey
from tests.audit.tables import bytes_of, done_to
from tests.house import PUBLIC, Clock, TestHouse, in_one_task, new_team, open_house

from . import flow
from .desk import ALICE, CHALLENGE, Desk
from .flow import Browser
from .holders import METADATA, challenge_of

door = pytest.mark.asyncio(loop_scope="module")
SERVER = "/.well-known/oauth-authorization-server"
RESOURCE = "/.well-known/oauth-protected-resource"
EVIL = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_door(
    tmp_path_factory: pytest.TempPathFactory, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> AsyncIterator[TestHouse]:
    clock = Clock()
    folder = tmp_path_factory.mktemp("door")
    opened = open_house(folder, clock, new_team(clock, signing_keys[:2]), OAUTH_ENABLED="true")
    async with in_one_task(opened) as house:
        yield house


@door
async def test_A9_A10_A11_A12_A13_A16_what_is_advertised_is_there(open_door: TestHouse) -> None:
    said = (await open_door.tunnel_request("GET", SERVER)).json()
    assert said["client_id_metadata_document_supported"] is True
    for name in ("registration", "revocation", "introspection"):
        path = urlsplit(said[f"{name}_endpoint"]).path
        assert (await open_door.tunnel_request("POST", path)).status_code in (400, 401)
    assert "none" in said["revocation_endpoint_auth_methods_supported"]
    assert "none" not in said["introspection_endpoint_auth_methods_supported"]
    assert "private_key_jwt" in said["token_endpoint_auth_methods_supported"]
    assert said["token_endpoint_auth_signing_alg_values_supported"]
    assert "none" not in said["token_endpoint_auth_signing_alg_values_supported"]
    keys = await open_door.tunnel_request("GET", urlsplit(said["jwks_uri"]).path)
    assert keys.json()["keys"]


@door
async def test_B1_B2_B6_B7_B10_B11_where_the_challenge_leads(open_door: TestHouse) -> None:
    challenge = challenge_of(await open_door.tunnel_request("POST", "/mcp", json={}))
    assert challenge["resource_metadata"] == METADATA == f"{PUBLIC}{RESOURCE}/mcp"
    answers = [await open_door.tunnel_request("GET", f"{RESOURCE}{end}") for end in ("/mcp", "")]
    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert answer.json() == answers[0].json()
    said = answers[0].json()
    assert said["resource"] == f"{PUBLIC}/mcp"
    assert said["bearer_methods_supported"] == ["header"]
    assert isinstance(said["resource_name"], str)
    assert isinstance(said["resource_documentation"], str)
    other = await open_door.tunnel_request("GET", f"{RESOURCE}/other")
    # Nothing is said to anybody about paths that are none: not even that they are not there.
    assert other.status_code == 401


@door
async def test_pages_of_other_origins_may_not_call_at_all(open_door: TestHouse) -> None:
    for method in ("OPTIONS", "POST", "GET"):
        answer = await open_door.tunnel_request(method, "/mcp", headers=EVIL)
        assert answer.status_code == 403
        assert "access-control-allow-origin" not in answer.headers


@door
async def test_H24_every_refusal_is_json_that_nobody_keeps(open_door: TestHouse) -> None:
    client = await flow.register(open_door)
    for form in (
        {},
        {"client_id": "unknown"},
        {"grant_type": "password", "client_id": client["client_id"]},
        {"grant_type": "authorization_code", "client_id": client["client_id"], "code": "x"},
        {
            "grant_type": "authorization_code",
            "client_id": client["client_id"],
            "code": "x",
            "code_verifier": "v" * 43,
        },
        {"grant_type": "refresh_token", "client_id": client["client_id"], "refresh_token": "x"},
        {"grant_type": "client_credentials", "client_id": client["client_id"]},
    ):
        answer = await flow.post_form(open_door, "/token", **form)
        assert answer.status_code in (400, 401)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert set(answer.json()) == {"error", "error_description"}


@door
async def test_H21_a_code_without_a_challenge_is_no_code(open_door: TestHouse) -> None:
    browser, client = Browser(open_door), await flow.register(open_door)
    code = await flow.code_for(browser, client)
    await done_to(flow.file_of(open_door), "UPDATE oauth_codes SET code_challenge = ''")
    for verifier in ("v" * 43, ""):
        answer = await flow.exchange(open_door, client, code, code_verifier=verifier)
        assert answer.status_code == 400
        assert "access_token" not in answer.json()


@door
async def test_I13_no_secret_is_in_the_database(open_door: TestHouse) -> None:
    client = await flow.register(open_door, token_endpoint_auth_method="client_secret_post")
    form = {"client_id": client["client_id"], "token": "x"}
    good = await flow.post_form(open_door, "/revoke", client_secret=client["client_secret"], **form)
    assert good.status_code == 200
    wrong = await flow.post_form(open_door, "/revoke", client_secret=client["client_secret"][:-1], **form)
    assert wrong.status_code == 401
    written = bytes_of(flow.file_of(open_door))
    assert client["client_id"].encode() in written
    assert client["client_secret"].encode() not in written


@door
async def test_K12_J20_a_database_that_does_not_answer_is_503_and_no_end_of_anything(
    open_door: TestHouse,
) -> None:
    client = await flow.register(open_door)
    given = await flow.tokens(Browser(open_door), client)
    await done_to(flow.file_of(open_door), "ALTER TABLE oauth_refresh_tokens RENAME TO away")
    form = {"client_id": client["client_id"], "token": given["refresh_token"]}
    for answer in (
        await flow.post_form(open_door, "/revoke", **form),
        await flow.refresh(open_door, client, given["refresh_token"]),
    ):
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) > 0
        assert "invalid_grant" not in answer.text
    await done_to(flow.file_of(open_door), "ALTER TABLE away RENAME TO oauth_refresh_tokens")
    assert (await flow.refresh(open_door, client, given["refresh_token"])).status_code == 200


async def test_E11_E12_the_addresses_of_a_document_are_matched_like_all_others(desk: Desk) -> None:
    url = "https://app.example/client"
    client = Client(
        id=url,
        origin="document",
        name="App",
        redirect_uris=("http://localhost/callback", "http://127.0.0.1/callback"),
        auth_methods=frozenset({"none"}),
        grant_types=frozenset({"authorization_code"}),
        created_at=desk.clock(),
        fingerprint="f",
    )
    await desk.store.put_document_client(client)

    async def documents(_: str) -> Client:
        return client

    authority = replace(desk.authority, documents=documents)

    async def asked(redirect_uri: str) -> Question | str:
        query = Form(
            (
                ("response_type", "code"),
                ("client_id", url),
                ("redirect_uri", redirect_uri),
                ("code_challenge", CHALLENGE),
                ("code_challenge_method", "S256"),
            )
        )
        return await authorize(query, authority, person=ALICE, browser="b" * 43, now=desk.clock())

    for good in ("http://localhost:53111/callback", "http://127.0.0.1:53111/callback"):
        assert isinstance(await asked(good), Question)
    for bad in ("http://localhost:53111/other", "https://app.example/callback", "http://[::1]:1/callback"):
        with pytest.raises(PageError) as refusal:
            await asked(bad)
        assert refusal.value.status == 400

"""The authorization endpoint: group F."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from app.oauth.models import fingerprint_of

from .desk import ALICE, CALLBACK, CHALLENGE, ISSUER, RESOURCE, Desk, answered, is_page

LOOPBACK = "http://127.0.0.1/callback"


@pytest.fixture
async def client(desk: Desk) -> dict[str, Any]:
    """One that alice approved, so that errors go to it (F34)."""
    client = await desk.register(client_name="Claude")
    await desk.tokens(client)
    return client


async def test_F1_an_approved_request_brings_code_state_and_issuer_and_nothing_else(desk: Desk) -> None:
    page = await desk.ask(await desk.register())
    reply = await desk.answer(page)
    assert reply.headers["location"].startswith(f"{CALLBACK}?code=")
    parameters = answered(reply)
    assert set(parameters) == {"code", "state", "iss"}
    assert (parameters["state"], parameters["iss"]) == ("s t&te", ISSUER)


@pytest.mark.parametrize("client_id", [None, "", "unknown", "https://a.example/client.json", "x" * 10_000])
async def test_F2_an_unknown_client_is_never_redirected_to(desk: Desk, client_id: str | None) -> None:
    assert is_page(await desk.ask({"client_id": client_id}))


async def test_F2_nor_is_one_that_was_deleted(desk: Desk, client: dict[str, Any]) -> None:
    await desk.store.delete_client(client["client_id"], desk.clock())
    assert is_page(await desk.ask(client))


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example/callback",
        f"{CALLBACK}/x",
        f"{CALLBACK}/../callback",
        f"{CALLBACK}?x=1",
        f"{CALLBACK}/",
        "https://client.example/%63allback",
        "https://client.example/./callback",
        "https://CLIENT.example/callback",
        "https://client.example:443/callback",
        "http://client.example/callback",
        "https://u@client.example/callback",
        "https://client.example\\@evil.example/callback",
        "https://client.example//callback",
        "https://client.example./callback",
        "https://сlient.example/callback",
        f"{CALLBACK}#",
        f" {CALLBACK}",
        "javascript:alert(1)",
    ],
)
async def test_F3_F4_F33_a_redirect_uri_that_differs_is_never_redirected_to(
    desk: Desk, client: dict[str, Any], uri: str
) -> None:
    assert is_page(await desk.ask(client, redirect_uri=uri))
    assert is_page(await desk.ask(client, redirect_uri=uri, response_type="token"))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
@pytest.mark.parametrize("registered", ["", ":8000"])
async def test_F5_on_loopback_every_port_will_do(desk: Desk, host: str, registered: str) -> None:
    client = await desk.register(redirect_uris=[f"http://{host}{registered}/cb"])
    reply = await desk.answer(await desk.ask(client, redirect_uri=f"http://{host}:51234/cb"))
    assert reply.headers["location"].startswith(f"http://{host}:51234/cb?code=")


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:5/other",
        "http://127.0.0.1:5/callback?x",
        "https://127.0.0.1:5/callback",
        "http://localhost:5/callback",
        "http://[::1]:5/callback",
        "http://127.0.0.1:70000/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:5@evil.example/callback",
        "http://127.0.0.1:5.evil.example/callback",
        "http://0.0.0.0:5/callback",
    ],
)
async def test_F6_on_loopback_nothing_else_may_differ(desk: Desk, uri: str) -> None:
    assert is_page(await desk.ask(await desk.register(redirect_uris=[LOOPBACK]), redirect_uri=uri))


async def test_F7_one_registered_address_need_not_be_named_of_two_one_must(desk: Desk) -> None:
    one = await desk.register()
    two = await desk.register(redirect_uris=[CALLBACK, LOOPBACK])
    reply = await desk.answer(await desk.ask(one, redirect_uri=None))
    assert reply.headers["location"].startswith(CALLBACK)
    assert is_page(await desk.ask(two, redirect_uri=None))


async def test_F8_the_query_of_a_redirect_uri_stays_as_it_is(desk: Desk) -> None:
    client = await desk.register(redirect_uris=["https://client.example/cb?x=1&flag"])
    reply = await desk.answer(await desk.ask(client))
    assert reply.headers["location"].startswith("https://client.example/cb?x=1&flag&code=")


@pytest.mark.parametrize(
    ("row", "query", "code"),
    [
        ("F9", {"response_type": None}, "invalid_request"),
        ("F10", {"response_type": "token"}, "unsupported_response_type"),
        ("F10", {"response_type": "id_token"}, "unsupported_response_type"),
        ("F10", {"response_type": "code token"}, "unsupported_response_type"),
        ("F10", {"response_type": "CODE"}, "unsupported_response_type"),
        ("F11", {"code_challenge": None}, "invalid_request"),
        ("F12", {"code_challenge_method": "plain"}, "invalid_request"),
        ("F13", {"code_challenge_method": None}, "invalid_request"),
        ("F14", {"code_challenge_method": "S512"}, "invalid_request"),
        ("F14", {"code_challenge_method": "s256"}, "invalid_request"),
        ("F15", {"code_challenge": "a" * 10}, "invalid_request"),
        ("F15", {"code_challenge": "a" * 200}, "invalid_request"),
        ("F15", {"code_challenge": "a" * 42 + "="}, "invalid_request"),
        ("F15", {"code_challenge": "a" * 42 + "+"}, "invalid_request"),
        ("F15", {"code_challenge": "a" * 42 + "/"}, "invalid_request"),
        ("F16", {"scope": ["mcp:tools:read", "mcp:tools:write"]}, "invalid_request"),
        ("F16", {"response_type": ["code", "code"]}, "invalid_request"),
        ("F16", {"code_challenge": [CHALLENGE, CHALLENGE]}, "invalid_request"),
        ("F20", {"scope": 'a"b'}, "invalid_scope"),
        ("F20", {"scope": "a\tb"}, "invalid_scope"),
        ("F20", {"scope": "a\\b"}, "invalid_scope"),
        ("F21", {"scope": "unknown other"}, "invalid_scope"),
        ("F22", {"resource": "https://other.example/mcp"}, "invalid_target"),
        ("F22", {"resource": "/mcp"}, "invalid_target"),
        ("F22", {"resource": f"{RESOURCE}#x"}, "invalid_target"),
        ("F22", {"resource": f"{RESOURCE}?x"}, "invalid_target"),
        ("F22", {"resource": "https://u@brain.example.com/mcp"}, "invalid_target"),
        ("F22", {"resource": "http://brain.example.com/mcp"}, "invalid_target"),
        ("F22", {"resource": "https://brain.example.com:8443/mcp"}, "invalid_target"),
        ("F22", {"resource": "https://brain.example.com:x/mcp"}, "invalid_target"),
        ("F22", {"resource": f"{RESOURCE}/other"}, "invalid_target"),
        ("F22", {"resource": ""}, "invalid_target"),
        ("F22", {"resource": [RESOURCE, "https://other.example/mcp"]}, "invalid_target"),
        ("F27", {"response_mode": "fragment"}, "invalid_request"),
        ("F27", {"response_mode": "form_post"}, "invalid_request"),
        ("F28", {"request": "e30.e30."}, "request_not_supported"),
        ("F28", {"request_uri": "https://a.example/r"}, "request_uri_not_supported"),
    ],
)
async def test_F9_to_F16_F20_F21_F22_F26_F27_errors_go_to_the_client_with_one_state_and_one_issuer(
    desk: Desk, client: dict[str, Any], row: str, query: dict[str, Any], code: str
) -> None:
    reply = await desk.ask(client, **query)
    assert reply.headers["location"].startswith(f"{CALLBACK}?error=")
    parameters = answered(reply)
    assert parameters["error"] == code
    assert (parameters["state"], parameters["iss"]) == ("s t&te", ISSUER)
    assert "code" not in parameters


async def test_F16_which_of_two_clients_or_addresses_is_not_ours_to_choose(
    desk: Desk, client: dict[str, Any]
) -> None:
    assert is_page(await desk.ask(client, client_id=[client["client_id"]] * 2))
    assert is_page(await desk.ask(client, redirect_uri=[CALLBACK, CALLBACK]))
    twice = answered(await desk.ask(client, state=["a", "b"]))
    assert twice["error"] == "invalid_request"
    assert "state" not in twice


async def test_F17_F18_what_is_unknown_or_empty_counts_as_left_out(desk: Desk) -> None:
    page = await desk.ask(await desk.register(), nonce="n", foo="x", scope="", display="", ui_locales="de")
    assert page.status_code == 200
    assert [scope.name for scope in desk.pages.views[-1].scopes] == ["mcp:tools:read"]


@pytest.mark.parametrize("state", ["&=%\r\n<>\"'+ ü", "s" * 4096])
async def test_F19_the_state_comes_back_as_it_was(desk: Desk, state: str) -> None:
    reply = await desk.answer(await desk.ask(await desk.register(), state=state))
    assert answered(reply)["state"] == state
    assert "\r" not in reply.headers["location"]


async def test_F18_without_a_state_none_comes_back(desk: Desk) -> None:
    client = await desk.register()
    for nothing in (None, ""):
        page = await desk.ask(client, state=nothing, prompt="consent")
        assert "state" not in answered(await desk.answer(page))


@pytest.mark.parametrize(
    ("scope", "granted"),
    [
        ("unknown mcp:tools:read", "mcp:tools:read"),
        ("openid profile email offline_access", "mcp:tools:read"),
        ("notes:delete offline_access", "notes:delete"),
        ("mcp:tools:write", "mcp:tools:read mcp:tools:write"),
        ("brain:admin mcp:tools:read", "mcp:tools:read"),
        ("* mcp:tools:read", "mcp:tools:read"),
    ],
)
async def test_F21_scopes_that_we_do_not_know_are_dropped(desk: Desk, scope: str, granted: str) -> None:
    assert (await desk.tokens(await desk.register(), scope=scope))["scope"] == granted


@pytest.mark.parametrize(
    "resource",
    [
        None,
        RESOURCE,
        f"{RESOURCE}/",
        ISSUER,
        f"{ISSUER}/",
        "HTTPS://BRAIN.EXAMPLE.COM/mcp",
        [RESOURCE, ISSUER],
    ],
)
async def test_F23_F24_many_ways_to_write_the_one_resource(desk: Desk, resource: Any) -> None:
    tokens = await desk.tokens(await desk.register(), resource=resource)
    claims = desk.authority.minting.read(tokens["access_token"], desk.clock())
    assert claims.resource == RESOURCE


async def test_F25_a_denial_is_told_to_the_client(desk: Desk) -> None:
    reply = await desk.answer(await desk.ask(await desk.register()), "deny")
    parameters = answered(reply)
    assert (parameters["error"], parameters["state"]) == ("access_denied", "s t&te")
    assert parameters["iss"] == ISSUER


async def test_F29_the_endpoint_is_asked_by_get(desk: Desk) -> None:
    reply = await desk.browser.post("/authorize", data={"client_id": "x"})
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET")


async def test_F30_after_the_form_the_browser_comes_with_get(desk: Desk) -> None:
    assert (await desk.answer(await desk.ask(await desk.register()))).status_code == 303


async def test_F31_prompt_none_never_gives_silently_what_was_not_given_before(
    desk: Desk, client: dict[str, Any]
) -> None:
    more = answered(await desk.ask(client, prompt="none", scope="mcp:tools:write"))
    assert more["error"] == "consent_required"
    assert "code" in answered(await desk.ask(client, prompt="none"))


async def test_F32_Q9_codes_are_long_short_lived_and_kept_as_digests(desk: Desk) -> None:
    code = await desk.code(await desk.register())
    assert len(code) >= 43
    kept = await desk.store.find_code(fingerprint_of(code))
    assert kept is not None
    assert kept.expires_at - desk.clock() == 60
    assert code.encode() not in desk.authority.store._database.path.read_bytes()  # type: ignore[attr-defined]


@pytest.mark.parametrize("query", [{"response_type": "token"}, {"prompt": "none"}, {"scope": "nonsense"}])
async def test_F34_nobody_is_sent_to_a_client_that_they_never_approved(
    desk: Desk, query: dict[str, Any]
) -> None:
    assert is_page(await desk.ask(await desk.register(), **query))
    native = await desk.register(redirect_uris=[LOOPBACK])
    assert "error" in answered(await desk.ask(native, **query))


async def test_F35_C12_Q14_pages_and_redirects_are_not_kept_and_tell_nobody(desk: Desk) -> None:
    client = await desk.register()
    page = await desk.ask(client)
    error = await desk.ask({"client_id": "unknown"})
    redirect = await desk.answer(page)
    for reply in (page, error, redirect):
        assert reply.headers["cache-control"] == "no-store"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["referrer-policy"] in ("no-referrer", "same-origin")
        assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    assert redirect.headers["referrer-policy"] == error.headers["referrer-policy"] == "no-referrer"


async def test_F36_a_look_without_cookies_uses_nothing_up(desk: Desk) -> None:
    client = await desk.register()
    async with desk.new_browser() as program:
        assert (await desk.ask(client, browser=program)).status_code == 200
    assert "code" in answered(await desk.answer(await desk.ask(client)))


async def test_F37_long_addresses_are_handled_or_refused(desk: Desk) -> None:
    client = await desk.register()
    assert (await desk.ask(client, foo="x" * 8192)).status_code == 200
    assert is_page(await desk.ask(client, foo="x" * 40_000), 414)
    assert is_page(await desk.browser.get(f"/authorize?client_id={client['client_id']}&state=%ff"))
    assert is_page(await desk.browser.get("/authorize?" + "&".join(f"a{n}=1" for n in range(200))))


async def test_F38_descriptions_keep_to_their_characters(desk: Desk, client: dict[str, Any]) -> None:
    allowed = {chr(sign) for sign in range(0x20, 0x7F)} - {'"', "\\"}
    queries: tuple[dict[str, Any], ...] = (
        {"response_type": "t"},
        {"resource": "x"},
        {"scope": "\\"},
        {"request": "x"},
        {"code_challenge": "x"},
        {"prompt": "none", "scope": "notes:delete"},
    )
    for query in queries:
        assert set(answered(await desk.ask(client, **query))["error_description"]) <= allowed


async def test_Q12_questions_to_one_person_are_limited(desk: Desk) -> None:
    client = await desk.register()
    replies = [await desk.ask(client) for _ in range(35)]
    assert {reply.status_code for reply in replies} == {200, 429}
    assert is_page(replies[-1], 429)
    assert "retry-after" in replies[-1].headers


async def test_a_code_never_goes_into_the_fragment(desk: Desk) -> None:
    location = (await desk.answer(await desk.ask(await desk.register()))).headers["location"]
    assert not urlsplit(location).fragment
    assert "code" in parse_qs(urlsplit(location).query)


async def test_the_ceiling_of_the_signed_in_person_counts_not_the_clients_wish(desk: Desk) -> None:
    desk.who = ALICE
    await desk.ask(await desk.register(), scope="mcp:tools:write", login_hint="bob@example.com")
    assert desk.pages.views[-1].person == "alice@example.com"

"""The consent page, who may answer it, and the ceiling: group G."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2
import pytest

from app.oauth.authorize import Question, authorize
from app.oauth.forms import Form
from app.oauth.models import REQUEST_SECONDS, Client
from app.policy.denies import Denies
from app.principal import Principal

from .desk import ALICE, BOB, CALLBACK, CHALLENGE, EVE, ISSUER, Desk, answered, fields, is_page, is_refused

WRITE = "mcp:tools:write"
LOOPBACK = "http://127.0.0.1/callback"


@pytest.fixture
async def client(desk: Desk) -> dict[str, Any]:
    return await desk.register(client_name="Claude")


@pytest.fixture
async def page(desk: Desk, client: dict[str, Any]) -> httpx2.Response:
    return await desk.ask(client, scope=f"{WRITE} notes:delete")


@pytest.mark.parametrize("path", ["/authorize", "/consent"])
async def test_G1_nobody_is_asked_who_did_not_sign_in(desk: Desk, client: dict[str, Any], path: str) -> None:
    desk.who = None
    assert is_page(await desk.browser.get(path, params={"client_id": client["client_id"]}), 403)


async def test_G3_a_header_is_nobody(desk: Desk, client: dict[str, Any]) -> None:
    desk.who = None
    headers = {"cf-access-authenticated-user-email": "alice@example.com"}
    query = {"client_id": client["client_id"]}
    assert is_page(await desk.browser.get("/authorize", params=query, headers=headers), 403)


async def test_G5_a_service_token_has_nobody_who_could_consent(desk: Desk, client: dict[str, Any]) -> None:
    desk.who = Principal("service", "nightly.access", "tunnel")
    assert is_page(await desk.ask(client), 403)


async def test_G6_the_page_says_who_wants_what_as_whom_and_where_it_goes(
    desk: Desk, page: httpx2.Response
) -> None:
    view = desk.pages.views[-1]
    assert (view.client_name, view.client_host) == ("Claude", None)
    assert (view.redirect_host, view.redirect_uri, view.loopback) == ("client.example", CALLBACK, False)
    assert view.person == "alice@example.com"
    assert [scope.name for scope in view.scopes] == ["mcp:tools:read", WRITE, "notes:delete"]
    assert view.scopes[2].description == "Delete and restore notes"


async def test_G6_a_program_on_ones_own_machine_is_told_as_such(desk: Desk) -> None:
    native = await desk.register(redirect_uris=[LOOPBACK])
    await desk.ask(native, redirect_uri="http://127.0.0.1:5000/callback")
    assert (desk.pages.views[-1].redirect_host, desk.pages.views[-1].loopback) == ("127.0.0.1", True)


async def test_G8_the_page_stands_in_no_frame_and_its_form_goes_where_it_must(
    page: httpx2.Response,
) -> None:
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' https://client.example https://acme.cloudflareaccess.com" in policy
    assert "script" not in policy
    assert page.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    ("uri", "source"),
    [("http://127.0.0.1:5000/callback", "http://127.0.0.1:5000"), ("cursor://x/cb", "cursor:")],
)
async def test_G8_the_forms_target_of_a_native_client(desk: Desk, uri: str, source: str) -> None:
    page = await desk.ask(await desk.register(redirect_uris=[uri]))
    assert f"form-action 'self' {source} " in page.headers["content-security-policy"]


async def test_G9_without_the_id_of_the_page_there_is_no_answer(desk: Desk, page: httpx2.Response) -> None:
    assert is_page(await desk.answer(page, request=None), 403)
    assert is_page(await desk.answer(page, request="x" * 43))
    assert "code" in answered(await desk.answer(page))


async def test_G9_another_browser_of_the_same_person_cannot_answer(desk: Desk, page: httpx2.Response) -> None:
    desk.browser, first = desk.new_browser(), desk.browser
    assert is_page(await desk.answer(page), 403)
    await desk.ask(await desk.register())  # it has a cookie of its own now
    assert is_page(await desk.answer(page), 403)
    await desk.browser.aclose()
    desk.browser = first
    assert "code" in answered(await desk.answer(page))


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": f"{ISSUER}.evil.example"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
async def test_G10_an_answer_from_elsewhere_counts_for_nothing(
    desk: Desk, page: httpx2.Response, headers: dict[str, str]
) -> None:
    assert is_page(await desk.answer(page, headers=headers), 403)
    assert "code" in answered(await desk.answer(page))


async def test_G11_the_form_changes_nothing_but_fewer_scopes(desk: Desk, client: dict[str, Any]) -> None:
    page = await desk.ask(client, scope="mcp:tools:read")
    tampered: dict[str, Any] = {
        "scope": ["mcp:tools:read", WRITE, "notes:delete"],
        "redirect_uri": "https://evil.example/",
        "client_id": "other",
        "resource": "https://other.example",
    }
    reply = await desk.answer(page, **tampered)
    assert reply.headers["location"].startswith(f"{CALLBACK}?")
    tokens = (await desk.exchange(client, answered(reply)["code"])).json()
    assert tokens["scope"] == "mcp:tools:read"


async def test_G12_another_person_in_the_same_browser_cannot_answer(
    desk: Desk, page: httpx2.Response
) -> None:
    desk.who = BOB
    assert is_page(await desk.answer(page), 403)
    assert is_page(await desk.browser.get("/consent", params={"request": fields(page)["request"]}), 403)


async def test_G13_a_page_is_answered_once_and_soon(desk: Desk, client: dict[str, Any]) -> None:
    page, late = await desk.ask(client), await desk.ask(client)
    assert "code" in answered(await desk.answer(page))
    assert is_page(await desk.answer(page))
    desk.clock.advance(REQUEST_SECONDS)
    assert is_page(await desk.answer(late))
    assert [view.code for view in desk.pages.errors] == ["question_over"] * 2


@pytest.mark.parametrize("decision", [None, "", "maybe", ["allow", "deny"]])
async def test_an_answer_that_is_none_uses_the_question_up_for_nobody(
    desk: Desk, page: httpx2.Response, decision: Any
) -> None:
    assert is_page(await desk.answer(page, decision=decision))
    assert "code" in answered(await desk.answer(page))


async def test_G14_the_cookie_is_of_this_host_and_for_no_script(page: httpx2.Response) -> None:
    name, *attributes = page.headers["set-cookie"].split("; ")
    assert name.startswith("__Host-")
    assert set(attributes) == {"Path=/", "HttpOnly", "SameSite=Lax", "Secure"}


async def test_G15_nobody_gives_more_than_they_have(desk: Desk, client: dict[str, Any]) -> None:
    desk.who = BOB
    tokens = await desk.tokens(client, scope=f"{WRITE} notes:delete")
    assert tokens["scope"] == "mcp:tools:read"
    assert desk.pages.views[-1].withheld == (WRITE, "notes:delete")


async def test_G16_nothing_to_give_is_a_denial(desk: Desk) -> None:
    native = await desk.register(redirect_uris=[LOOPBACK])
    for who, scope in ((EVE, "mcp:tools:read"), (BOB, "notes:delete")):
        desk.who = who
        assert answered(await desk.ask(native, scope=scope))["error"] == "access_denied"


async def test_G16_the_ceiling_is_asked_again_when_the_person_answers(
    desk: Desk, page: httpx2.Response
) -> None:
    desk.denied = Denies(principals=frozenset({ALICE.id}))
    assert answered(await desk.answer(page))["error"] == "access_denied"


async def test_G17_what_was_unticked_is_not_given(desk: Desk, client: dict[str, Any]) -> None:
    page = await desk.ask(client, scope=f"{WRITE} notes:delete")
    reply = await desk.answer(page, scope=["mcp:tools:read"])
    assert (await desk.exchange(client, answered(reply)["code"])).json()["scope"] == "mcp:tools:read"
    nothing = await desk.answer(await desk.ask(client, scope=WRITE), scope=None)
    assert answered(nothing)["error"] == "access_denied"


async def test_G18_what_was_approved_is_not_asked_again_but_all_else_is(
    desk: Desk, client: dict[str, Any]
) -> None:
    await desk.tokens(client, scope=WRITE)
    assert "code" in answered(await desk.ask(client, scope=WRITE))
    assert "code" in answered(await desk.ask(client, scope="mcp:tools:read"))
    assert (await desk.ask(client, scope="notes:delete")).status_code == 200  # a new scope
    assert (await desk.ask(client, scope=WRITE, prompt="consent")).status_code == 200
    desk.who = BOB
    assert (await desk.ask(client, scope="mcp:tools:read")).status_code == 200


async def test_G18_another_redirect_host_is_asked_again(desk: Desk) -> None:
    other = "https://other.example/cb"
    client = await desk.register(redirect_uris=[CALLBACK, other])
    await desk.tokens(client)
    assert "code" in answered(await desk.ask(client))
    assert (await desk.ask(client, redirect_uri=other)).status_code == 200


async def test_G18_E17_a_client_that_changed_is_asked_again(desk: Desk, client: dict[str, Any]) -> None:
    published = await desk.store.find_client(client["client_id"])
    assert published is not None
    document = replace(published, id="https://client.example/oauth.json", origin="document")
    await desk.store.put_document_client(document)
    asked = {"client_id": document.id}
    await desk.tokens(asked)
    assert "code" in answered(await desk.ask(asked))
    await desk.store.put_document_client(replace(document, name="Other", fingerprint="changed"))
    assert (await desk.ask(asked)).status_code == 200


async def test_E21_a_client_that_was_deleted_comes_back_with_its_document(
    desk: Desk, client: dict[str, Any]
) -> None:
    registered = await desk.store.find_client(client["client_id"])
    assert registered is not None
    document = replace(registered, id="https://client.example/oauth.json", origin="document")

    async def kept_for_a_while(client_id: str) -> Client:
        return document

    authority = replace(desk.authority, documents=kept_for_a_while)
    query = Form(
        (
            ("client_id", document.id),
            ("response_type", "code"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        )
    )
    found = await authorize(query, authority, person=ALICE, browser="b", now=desk.clock())
    assert isinstance(found, Question)
    assert await desk.store.find_client(document.id) == document


async def test_G18_a_revoked_grant_is_remembered_for_nobody(desk: Desk, client: dict[str, Any]) -> None:
    await desk.tokens(client)
    for grant in await desk.store.grants(desk.clock(), ALICE.id):
        await desk.store.revoke_grant(grant.id, desk.clock())
    assert (await desk.ask(client)).status_code == 200


@pytest.mark.parametrize("uri", [LOOPBACK, "cursor://x/cb", "com.example.app:/cb"])
async def test_G19_where_any_program_may_listen_the_person_always_clicks(desk: Desk, uri: str) -> None:
    native = await desk.register(redirect_uris=[uri])
    await desk.tokens(native)
    assert (await desk.ask(native)).status_code == 200
    assert desk.pages.views[-1].known


async def test_G21_J17_a_lowered_ceiling_narrows_the_next_refresh_and_then_ends_it(
    desk: Desk, client: dict[str, Any]
) -> None:
    tokens = await desk.tokens(client, scope=WRITE)
    readers = tuple(
        replace(rule, emails=frozenset({ALICE.id})) for rule in desk.rules.rules if rule.name == "readers"
    )
    desk.rules, before = replace(desk.rules, rules=readers), desk.rules
    refreshed = (await desk.refresh(client, tokens["refresh_token"])).json()
    assert refreshed["scope"] == "mcp:tools:read"
    desk.rules = replace(desk.rules, rules=())
    assert is_refused(await desk.refresh(client, refreshed["refresh_token"]), "invalid_grant")
    desk.rules = before
    assert (await desk.refresh(client, refreshed["refresh_token"])).json()["scope"] == tokens["scope"]


async def test_G22_whoever_has_to_log_in_before_the_answer_is_asked_again(
    desk: Desk, page: httpx2.Response
) -> None:
    again = await desk.browser.get(desk.pages.views[-1].action)
    assert again.status_code == 200
    assert fields(again) == fields(page)
    assert "code" in answered(await desk.answer(again))
    assert is_page(await desk.browser.get("/consent"))


async def test_G23_people_and_clients_have_names_that_cannot_meet(desk: Desk) -> None:
    tokens = await desk.tokens(await desk.register())
    person = desk.authority.minting.read(tokens["access_token"], desk.clock()).subject
    machine = (await desk.token(await desk.machine(), grant_type="client_credentials")).json()
    itself = desk.authority.minting.read(machine["access_token"], desk.clock()).subject
    assert (person, itself) == ("person:id-of-alice@example.com", "client:nightly")


async def test_G24_Q5_consent_and_denial_are_on_record_without_secrets(
    desk: Desk, client: dict[str, Any]
) -> None:
    reply = await desk.answer(await desk.ask(client, scope=WRITE), scope=["mcp:tools:read"])
    await desk.answer(await desk.ask(client, scope=WRITE), "deny")
    given, denied = desk.events[-2:]
    assert (given.operation, given.decision) == ("oauth/consent", "allow")
    assert (given.principal, given.client) == (ALICE.id, client["client_id"])
    assert "requested [mcp:tools:read mcp:tools:write], granted [mcp:tools:read]" in given.reason
    assert (denied.operation, denied.decision) == ("oauth/consent", "deny")
    assert answered(reply)["code"] not in repr(desk.events)


async def test_a_closed_door_puts_off_what_it_does_not_end(desk: Desk, client: dict[str, Any]) -> None:
    tokens = await desk.tokens(client)
    desk.denied = Denies(tunnel=True)
    reply = await desk.refresh(client, tokens["refresh_token"])
    assert reply.status_code == 503
    assert "retry-after" in reply.headers
    desk.denied = Denies()
    assert (await desk.refresh(client, tokens["refresh_token"])).status_code == 200


async def test_the_kill_switch_shuts_a_client_off(desk: Desk, client: dict[str, Any]) -> None:
    tokens = await desk.tokens(client)
    desk.denied = Denies(principals=frozenset({f"client:{client['client_id']}"}))
    assert is_refused(await desk.refresh(client, tokens["refresh_token"]), "invalid_grant")
    assert answered(await desk.ask(client))["error"] == "access_denied"

"""The consent of a person, from the client's address to its redirect URI, in a browser without scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from html import escape

import pytest
import pytest_asyncio
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.oauth.models import REQUEST_SECONDS
from app.simulator.server import LoopbackServer, address, listen
from tests.house import HOST, PUBLIC, TestHouse
from tests.oauth.flow import exchange

from .chromium import MISSING, find
from .conftest import Arrive
from .visitor import ALICE, ALL, BOB, SESSION, STATE, Client, Visitor
from .web import Web

if find() is None:
    pytest.skip(MISSING, allow_module_level=True)
pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(loop_scope="session")
async def visitor(arrive: Arrive) -> Visitor:
    return await arrive(java_script_enabled=False)


@pytest_asyncio.fixture(loop_scope="session")
async def program(arrive: Arrive, house: TestHouse) -> AsyncIterator[Visitor]:
    """Somebody whose client is on the same computer, at a port that it took for this login."""
    bound = listen("127.0.0.1", 0)
    client = Client(house, f"http://{address(bound)}/callback")
    server = await LoopbackServer.start(client, bound)
    yield await arrive(client, java_script_enabled=False)
    await server.stop()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
async def test_who_allows_gives_the_client_a_code_and_its_token_calls_a_tool(
    arrive: Arrive, scripts: bool
) -> None:
    visitor = await arrive(java_script_enabled=scripts)
    await visitor.ask()
    await visitor.decide()
    answer = await visitor.answer()
    assert (answer["state"], answer["iss"]) == (STATE, PUBLIC)
    tokens = await visitor.client.tokens(answer)
    assert set(tokens["scope"].split()) == set(ALL)
    said = await visitor.client.calls(tokens["access_token"])
    assert said["principal"] == ALICE


async def test_a_scope_that_is_unticked_is_not_in_the_token(visitor: Visitor) -> None:
    await visitor.ask()
    await visitor.page.get_by_role("checkbox", name="Delete and restore notes").uncheck()
    await visitor.decide()
    tokens = await visitor.client.tokens(await visitor.answer())
    assert set(tokens["scope"].split()) == set(ALL) - {"notes:delete"}
    said = await visitor.client.calls(tokens["access_token"])
    assert "notes:delete" not in said["scopes"]


async def test_who_denies_tells_the_client_so_and_gives_no_code(visitor: Visitor) -> None:
    await visitor.ask()
    await visitor.decide("Deny")
    answer = await visitor.answer()
    assert (answer["error"], answer["state"], answer["iss"]) == ("access_denied", STATE, PUBLIC)
    assert "code" not in answer


async def test_a_program_on_the_same_computer_gets_its_answer_at_its_own_port(program: Visitor) -> None:
    await program.ask()
    await program.decide()
    assert await program.client.tokens(await program.answer())


async def test_the_cookie_that_binds_a_question_to_its_browser_is_of_this_host_alone(
    visitor: Visitor,
) -> None:
    await visitor.ask()
    [cookie] = [one for one in await visitor.context.cookies() if one.get("name") != SESSION]
    assert (cookie.get("name"), cookie.get("domain")) == ("__Host-brain-browser", HOST)
    assert (cookie.get("path"), cookie.get("secure"), cookie.get("httpOnly")) == ("/", True, True)
    assert (cookie.get("sameSite"), cookie.get("expires")) == ("Lax", -1)


async def test_without_that_cookie_the_answer_does_not_count(visitor: Visitor) -> None:
    await visitor.ask()
    await visitor.context.clear_cookies(name="__Host-brain-browser")
    await visitor.decide()
    assert "This question was not asked of you in this browser." in await visitor.refusal()
    assert visitor.client.answers == []


@pytest.mark.parametrize("path", ["/authorize", "/", "/consent"])
async def test_no_page_stands_in_the_frame_of_another_even_of_a_neighbour(
    arrive: Arrive, internet: Web, path: str
) -> None:
    visitor = await arrive(may_break=True)
    await visitor.ask()
    framed = {"/authorize": visitor.client.authorize_url()}.get(path, PUBLIC + path)
    internet.hosts["neighbour.example.com"] = HTMLResponse(f'<iframe src="{escape(framed)}"></iframe>')
    async with visitor.page.expect_event("console", lambda message: "frame-ancestors" in message.text):
        await visitor.page.goto("https://neighbour.example.com/")
    [frame] = visitor.page.main_frame.child_frames
    assert await frame.get_by_role("heading", level=1).filter(has_text="Brain").count() == 0


async def test_a_question_that_waited_too_long_gives_no_code_and_says_what_to_do(visitor: Visitor) -> None:
    await visitor.ask()
    visitor.house.clock.advance(REQUEST_SECONDS + 1)
    await visitor.decide()
    assert "If the program still waits for you, begin again in it." in await visitor.refusal()
    assert visitor.client.answers == []


async def test_another_person_cannot_answer_a_question_that_was_put_to_the_first(visitor: Visitor) -> None:
    await visitor.ask(ALICE)
    other = await visitor.context.new_page()
    await other.goto(f"{PUBLIC}/cdn-cgi/access/logout")
    await other.goto(PUBLIC)
    await visitor.sign_in(BOB, other)
    await other.get_by_role("heading", name=BOB).wait_for()
    await visitor.decide()
    assert "This question was not asked of you in this browser." in await visitor.refusal()
    assert visitor.client.answers == []


async def test_a_question_cannot_be_answered_in_another_browser(visitor: Visitor, arrive: Arrive) -> None:
    await visitor.ask()
    action = await visitor.page.get_attribute("form", "action")
    other = await arrive(visitor.client)
    await other.page.goto(f"{PUBLIC}{action}")
    await other.sign_in(ALICE)
    assert "This question was not asked of you in this browser." in await other.refusal()
    await visitor.decide()
    assert "code" in await visitor.answer()


async def test_who_is_signed_out_before_the_answer_signs_in_and_is_asked_again(visitor: Visitor) -> None:
    await visitor.ask()
    await visitor.context.clear_cookies(name=SESSION)
    await visitor.decide()
    await visitor.sign_in(ALICE)
    await visitor.decide()
    assert await visitor.client.tokens(await visitor.answer())


async def test_a_question_that_is_open_in_two_tabs_gives_one_code(visitor: Visitor) -> None:
    await visitor.ask()
    other = await visitor.context.new_page()
    await other.goto(f"{PUBLIC}{await visitor.page.get_attribute('form', 'action')}")
    await visitor.decide()
    await visitor.answer()
    await other.get_by_role("button", name="Allow").click()
    await other.get_by_role("heading", name="This question is over.").wait_for()
    assert await codes_that_work(visitor.client) == 1


async def test_back_after_allowing_a_program_asks_anew_and_gives_nothing_by_itself(program: Visitor) -> None:
    await program.ask()
    before = await program.page.get_attribute("form", "action")
    await program.decide()
    await program.answer()
    await program.page.go_back()
    assert await program.page.get_attribute("form", "action") != before
    assert await codes_that_work(program.client) == 1


async def test_a_double_click_gives_one_code(visitor: Visitor) -> None:
    await visitor.ask()
    await visitor.page.get_by_role("button", name="Allow").dblclick()
    await visitor.answer()
    assert await codes_that_work(visitor.client) == 1


async def test_a_second_click_while_the_answer_is_on_its_way_is_told_that_the_first_counts(
    visitor: Visitor, internet: Web
) -> None:
    await visitor.ask()
    sent, late = asyncio.Event(), asyncio.Event()
    internet.hosts[HOST] = answering_late(internet.hosts[HOST], sent, late)
    button = visitor.page.get_by_role("button", name="Allow")
    await button.scroll_into_view_if_needed()
    place = await button.bounding_box()
    assert place is not None
    for _ in range(2):
        await visitor.page.mouse.click(place["x"] + 9, place["y"] + 9)
        await asyncio.wait_for(sent.wait(), 20)
        sent.clear()
    late.set()
    said = await visitor.refusal()
    assert "that answer counts, also if you only clicked twice" in said
    assert "Nothing was allowed" not in said
    await visitor.page.get_by_role("link", name="your page").click()
    await visitor.page.get_by_role("button", name="Revoke Claude").wait_for()


async def codes_that_work(client: Client) -> int:
    """Of all codes that the client ever got, each tried twice."""
    tried = [
        await exchange(client.house, client.registered, answer["code"], redirect_uri=client.redirect_uri)
        for answer in client.answers * 2
    ]
    return sum(reply.status_code == 200 for reply in tried)


def answering_late(app: ASGIApp, sent: asyncio.Event, late: asyncio.Event) -> ASGIApp:
    """As over a long way: `sent` is set by each answer to a form, which comes when `late` is."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        async def later(message: Message) -> None:
            sent.set()
            await late.wait()
            await send(message)

        await app(scope, receive, later if scope["method"] == "POST" else send)

    return serve

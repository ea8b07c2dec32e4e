"""The grants on the page at `/`: who sees which, and who can end which. G20, on the real store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import httpx2
import pytest

from app.doors.home import home
from app.doors.http import LetIn, Receive, Scope, Send, access_token
from app.oauth.grants_page import PROOF_SECONDS, GrantsPage
from app.pages.consent import HtmlPages
from app.pages.home import Home
from app.principal import LAN, Principal
from tests.pages.markup import Markup, faults
from tests.pages.visitors import PERSON

from .desk import ALICE, BOB, ISSUER, Desk, successor

SAME = {"origin": ISSUER, "sec-fetch-site": "same-origin"}
HTML = {"accept": "text/html"}


class Visits:
    """The page as somebody sees it. Alice is an operator, Bob is not."""

    def __init__(self, desk: Desk) -> None:
        self.grants = GrantsPage(desk.authority, HtmlPages(), desk.clock, seal=successor)
        self.page = self.grants.app(home(self._gather))
        self.who: Principal = ALICE

    async def _gather(self, who: Principal, request_id: str) -> Home:
        return replace(PERSON, principal=who, grants=await self.grants.facts(who))

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.page(
            {**scope, "user": LetIn(self.who, access_token(self.who), "request-1", "")}, receive, send
        )

    async def ask(self, who: Principal, method: str = "GET", **more: Any) -> httpx2.Response:
        self.who = who
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(self.app), base_url=ISSUER) as browser:
            return await browser.request(method, "/", **more)

    async def see(self, who: Principal) -> Markup:
        return Markup((await self.ask(who, headers=HTML)).text)

    async def told(self, who: Principal) -> dict[str, Any]:
        told: dict[str, Any] = (await self.ask(who, headers={"accept": "application/json"})).json()
        return told

    async def form(self, who: Principal, number: int = 0) -> dict[str, str]:
        page = await self.see(who)
        form = page.all("form")[number]
        return {
            str(one.attributes["name"]): str(one.attributes["value"])
            for one in page.all("input")
            if one.inside("form") is form
        }

    async def post(self, who: Principal, form: dict[str, str], headers: Any = None) -> httpx2.Response:
        return await self.ask(who, "POST", data=form, headers=SAME if headers is None else headers)


@pytest.fixture
def visits(desk: Desk) -> Visits:
    return Visits(desk)


async def allowed(desk: Desk, who: Principal, name: str = "Claude") -> dict[str, Any]:
    """`who` has allowed a client."""
    desk.who = who
    client = await desk.register(client_name=name)
    return client | await desk.tokens(client)


async def test_G20_a_person_sees_their_grants_in_words(desk: Desk, visits: Visits) -> None:
    await allowed(desk, BOB)
    page = await visits.see(BOB)
    assert faults(page) == []
    said = page.text()
    assert "Claude unverified, answered at client.example" in said
    assert "Read: tools that only read, resources and prompts mcp:tools:read" in said
    assert "Since 15 Jan 2027" in said
    assert page.one("button").words() == "Revoke Claude, since 15 Jan 2027"


async def test_G20_programs_are_told_the_same_without_the_proof(desk: Desk, visits: Visits) -> None:
    await allowed(desk, BOB)
    told = await visits.told(BOB)
    (grant,) = told["grants"]
    assert (grant["client"], grant["redirect_host"]) == ("Claude", "client.example")
    assert grant["scopes"] == ["mcp:tools:read"]
    assert grant["since"] == "2027-01-15T08:00:00Z"
    assert "proof" not in str(told)
    assert "grants_of_others" not in told


async def test_G20_revoking_ends_refresh_and_access_tokens_at_once(desk: Desk, visits: Visits) -> None:
    client = await allowed(desk, BOB)
    answer = await visits.post(BOB, await visits.form(BOB))
    assert (answer.status_code, answer.headers["location"]) == (303, "/#grants")
    assert (await desk.refresh(client, client["refresh_token"])).json()["error"] == "invalid_grant"
    assert await desk.store.grants(desk.clock(), BOB.id) == ()
    (grant,) = await desk.store.approved(BOB.id, client["client_id"])
    assert desk.authority.revocations.is_revoked(grant_id=grant.id, jti="any")
    assert (await visits.told(BOB))["grants"] == []
    assert ("oauth/revoke", BOB.id, "request-1") in [
        (event.operation, event.principal, event.request_id) for event in desk.events
    ]


async def test_G20_an_operator_sees_all_and_may_end_them(desk: Desk, visits: Visits) -> None:
    await allowed(desk, BOB, "Of Bob")
    await allowed(desk, ALICE, "Of Alice")
    told = await visits.told(ALICE)
    assert [one["client"] for one in told["grants"]] == ["Of Alice"]
    assert [(one["client"], one["principal"]) for one in told["grants_of_others"]] == [("Of Bob", BOB.id)]
    assert faults(await visits.see(ALICE)) == []
    assert (await visits.post(ALICE, await visits.form(ALICE, 1))).status_code == 303
    assert await desk.store.grants(desk.clock(), BOB.id) == ()


async def test_G20_nobody_else_sees_or_ends_it(desk: Desk, visits: Visits) -> None:
    await allowed(desk, ALICE, "Of Alice")
    assert "Of Alice" not in (await visits.see(BOB)).text()
    form = await visits.form(ALICE)
    assert (await visits.post(BOB, form)).status_code == 403
    assert len(await desk.store.grants(desk.clock())) == 1


async def test_G20_a_client_sees_no_other_clients_and_ends_none(desk: Desk, visits: Visits) -> None:
    await allowed(desk, BOB)
    client = replace(BOB, client="c1", token_scopes=frozenset({"mcp:tools:read"}))
    assert "grants" not in await visits.told(client)
    assert (await visits.post(client, await visits.form(BOB))).status_code == 403
    assert len(await desk.store.grants(desk.clock())) == 1


async def test_G20_the_lan_operator_sees_all(desk: Desk, visits: Visits) -> None:
    desk.rules = replace(desk.rules, lan=frozenset({"*"}))
    await allowed(desk, BOB)
    assert len((await visits.told(LAN))["grants_of_others"]) == 1
    form = await visits.form(LAN)
    assert (await visits.post(LAN, form, headers={"origin": "http://127.0.0.1:8084"})).status_code == 303
    assert await desk.store.grants(desk.clock()) == ()


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"origin": ISSUER, "sec-fetch-site": "same-site"},
    ],
)
async def test_G10_the_form_of_another_site_ends_nothing(
    desk: Desk, visits: Visits, headers: dict[str, str]
) -> None:
    await allowed(desk, BOB)
    answer = await visits.post(BOB, await visits.form(BOB), headers=headers)
    assert answer.status_code == 403
    assert len(await desk.store.grants(desk.clock())) == 1


async def test_G9_without_its_own_fresh_proof_nothing_ends(desk: Desk, visits: Visits) -> None:
    await allowed(desk, BOB, "One")
    await allowed(desk, BOB, "Two")
    one, two = await visits.form(BOB, 0), await visits.form(BOB, 1)
    for form in ({"grant": one["grant"]}, one | {"proof": two["proof"]}, one | {"proof": "é"}):
        assert (await visits.post(BOB, form)).status_code == 403
    desk.clock.advance(2 * PROOF_SECONDS)
    answer = await visits.post(BOB, one)
    assert answer.status_code == 403
    assert faults(Markup(answer.text)) == []
    assert len(await desk.store.grants(desk.clock())) == 2


async def test_G9_a_double_click_is_one_end(desk: Desk, visits: Visits) -> None:
    await allowed(desk, BOB)
    form = await visits.form(BOB)
    assert [(await visits.post(BOB, form)).status_code for _ in range(2)] == [303, 303]
    assert [event.operation for event in desk.events].count("oauth/revoke") == 1


async def test_the_page_may_send_forms_only_where_it_has_some(desk: Desk, visits: Visits) -> None:
    before = await visits.ask(BOB, headers=HTML)
    assert "form-action 'none'" in before.headers["content-security-policy"]
    await allowed(desk, BOB)
    after = await visits.ask(BOB, headers=HTML)
    assert "form-action 'self';" in after.headers["content-security-policy"]
    assert after.headers["referrer-policy"] == "same-origin"
    as_json = await visits.ask(BOB, headers={"accept": "application/json"})
    assert "form-action 'none'" in as_json.headers["content-security-policy"]


async def test_G7_a_hostile_name_is_escaped_here_too(desk: Desk, visits: Visits) -> None:
    await allowed(desk, BOB, "</strong><script>alert(1)</script>\u202e")
    page = await visits.see(BOB)
    assert faults(page) == []
    assert "<script>alert(1)</script>[U+202E]" in page.text()

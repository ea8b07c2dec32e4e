"""The page at `/` behind the doors: who gets it, in which form, and nothing of others in it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from app.catalogue import catalogue
from app.pages import STYLE, STYLE_HASH
from app.store.denies import SqlDenies
from app.store.engine import Database
from tests.house import NIGHTLY, TestHouse

from .conftest import CANARIES
from .markup import Markup, faults

pytestmark = pytest.mark.asyncio(loop_scope="module")
BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
ALICE, EVE, OLGA = "alice@example.com", "eve@contractor.example", "olga@example.com"
STRANGER = "mary@elsewhere.example"
VISITORS = (ALICE, EVE, STRANGER, NIGHTLY)


async def visit(house: TestHouse, who: str, accept: str | None = BROWSER, method: str = "GET") -> Any:
    headers = {} if accept is None else {"Accept": accept}
    if who == "lan":
        return await house.lan_request(method, "/", headers=headers)
    token = house.team.token(who) if "@" in who else house.team.service_token(who)
    return await house.tunnel_request(method, "/", token=token, headers=headers)


async def facts(house: TestHouse, who: str) -> dict[str, Any]:
    told: dict[str, Any] = (await visit(house, who, "application/json")).json()
    return told


def read_aloud(html: str) -> str:
    return html.replace(STYLE, "")


@pytest.mark.parametrize("who", [*VISITORS, OLGA, "lan"])
async def test_everybody_who_is_let_in_gets_a_page_of_their_own(lived_in: TestHouse, who: str) -> None:
    answer = await visit(lived_in, who)
    page = Markup(answer.text)
    assert answer.status_code == 200
    assert faults(page) == []
    assert ("on the LAN" if who == "lan" else who) in page.one("h1").words()


async def test_nobody_gets_it_without_an_assertion(lived_in: TestHouse) -> None:
    answer = await lived_in.tunnel_request("GET", "/", headers={"Accept": BROWSER})
    assert answer.status_code == 401
    assert "Brain" not in answer.text


@pytest.mark.parametrize("accept", [BROWSER, "application/json"])
async def test_the_headers_keep_it_shut(lived_in: TestHouse, accept: str) -> None:
    headers = (await visit(lived_in, ALICE, accept)).headers
    assert headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'none'; base-uri 'none'; "
        "frame-ancestors 'none'"
    )
    assert headers["cache-control"] == "no-store"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["vary"] == "Accept"
    assert len(headers["x-request-id"]) == 16


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (BROWSER, "text/html; charset=utf-8"),
        ("text/html", "text/html; charset=utf-8"),
        ("TEXT/HTML;level=1;q=0.5, application/json;q=0.4", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
        ("text/html;q=0.5, application/json", "application/json"),
        ("text/html;q=0", "application/json"),
        ("text/html;q=x", "application/json"),
        ("*/*", "application/json"),
        ("", "application/json"),
        (";;,,;q=", "application/json"),
    ],
)
async def test_browsers_get_html_and_programs_json(
    lived_in: TestHouse, accept: str, content_type: str
) -> None:
    assert (await visit(lived_in, ALICE, accept)).headers["content-type"] == content_type


async def test_head_is_get_without_the_body(lived_in: TestHouse) -> None:
    got, asked = await visit(lived_in, ALICE), await visit(lived_in, ALICE, method="HEAD")
    assert asked.status_code == 200
    assert asked.content == b""
    assert asked.headers["content-length"] == got.headers["content-length"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_it_can_only_be_looked_at(lived_in: TestHouse, method: str) -> None:
    for who in (ALICE, "lan"):
        answer = await visit(lived_in, who, method=method)
        assert answer.status_code == 405
        assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("who", [*VISITORS, OLGA, "lan"])
async def test_it_says_what_whoami_says(lived_in: TestHouse, who: str) -> None:
    client = lived_in.lan_client() if who == "lan" else lived_in.client_as(who)
    async with client:
        said = (await client.call_tool("whoami")).structured_content or {}
        listed = {tool.name for tool in await client.list_tools()}
    told = await facts(lived_in, who)
    for name in ("principal", "kind", "door", "client", "scopes"):
        assert told[name] == said[name]
    assert [tool["name"] for tool in told["tools"]] == said["tools"]
    assert {tool["name"] for tool in told["tools"]} == listed
    assert [rule["name"] for rule in told["rules"]] == said["rules"]
    assert len(told["tools"]) + told["hidden_tools"] == len(await catalogue())


async def test_limits_and_spaces_are_those_of_the_visitor(lived_in: TestHouse) -> None:
    tools = {tool["name"]: tool for tool in (await facts(lived_in, EVE))["tools"]}
    assert tools["search"]["limits"] == ["limit must be at most 20"]
    assert tools["search"]["spaces"] == "public"
    assert tools["fetch"]["limits"] == []
    assert (await facts(lived_in, ALICE))["tools"][0]["spaces"] == "main and your own"


@pytest.mark.parametrize("who", VISITORS)
@pytest.mark.parametrize("accept", [BROWSER, "application/json"])
async def test_nothing_of_others_is_shown_to_who_is_no_operator(
    lived_in: TestHouse, who: str, accept: str
) -> None:
    text = (await visit(lived_in, who, accept)).text
    others = {ALICE, EVE, STRANGER, OLGA} - {who}
    for canary in (*CANARIES, *others, "operators", "canary-path", "For the operator", '"operator"'):
        assert canary not in text
    if who != ALICE:
        assert "canary" not in text


@pytest.mark.parametrize("who", [EVE, STRANGER, NIGHTLY])
@pytest.mark.parametrize("accept", [BROWSER, "application/json"])
async def test_the_names_of_hidden_tools_are_nowhere(lived_in: TestHouse, who: str, accept: str) -> None:
    told = await facts(lived_in, who)
    hidden = {tool.name for tool in await catalogue()} - {tool["name"] for tool in told["tools"]}
    text = read_aloud((await visit(lived_in, who, accept)).text)
    assert len(hidden) == told["hidden_tools"] > 0
    assert [name for name in hidden if re.search(rf"\b{name}\b", text)] == []


async def test_calls_are_ones_own_with_nothing_about_why(lived_in: TestHouse) -> None:
    calls = (await facts(lived_in, ALICE))["calls"]
    asked = [(call["name"], call["outcome"]) for call in calls if call["name"] != "whoami"]
    assert asked == [("canary_of_alice", "denied"), ("list_spaces", "done")]
    assert all(call["request_id"] for call in calls)


async def test_a_tool_that_is_hidden_and_one_that_is_not_there_leave_the_same_line(
    lived_in: TestHouse,
) -> None:
    async with lived_in.client_as(EVE) as client:
        await client.call_tool("delete_note", {"id": "x"}, raise_on_error=False)
        await client.call_tool("no_such_tool", {"id": "x"}, raise_on_error=False)
    missing, hidden = (await facts(lived_in, EVE))["calls"][:2]
    same = ("ts", "operation", "outcome")
    assert [missing[key] for key in same] == [hidden[key] for key in same]


async def test_a_stranger_is_told_that_no_rule_names_them(lived_in: TestHouse) -> None:
    page = Markup((await visit(lived_in, STRANGER)).text)
    assert "no rule of this server names you yet" in page.text()
    assert f"I am {STRANGER}." in page.text()


@pytest.mark.parametrize("who", [OLGA, "lan"])
async def test_an_operator_sees_everybody(lived_in: TestHouse, who: str) -> None:
    told = await facts(lived_in, who)
    seen = {one["principal"]: one for one in told["operator"]["activity"]["seen"]}
    assert seen["canary@example.com"]["calls_day"] == 2
    assert seen["canary@example.com"]["denied_week"] == 1
    assert "canary_tool" in {one["name"] for one in told["operator"]["activity"]["denials"]}
    assert "GET /canary-path" in {one["name"] for one in told["operator"]["activity"]["refusals"]}
    assert sum(hour["calls"] for hour in told["operator"]["activity"]["hours"]) >= 4
    assert "canary-rule" in {rule["name"] for rule in told["operator"]["policy"]["rules"]}
    assert told["operator"]["policy"]["cases"] == 1
    assert "canary-case@example.com" in told["operator"]["policy"]["failing"][0]
    assert told["operator"]["audit_healthy"] is True
    assert told["operator"]["signing_keys_age"] == 0.0
    text = Markup((await visit(lived_in, who)).text).text()
    assert all(canary in text for canary in CANARIES)


async def test_an_operators_scope_opens_no_tool(lived_in: TestHouse) -> None:
    assert [tool["name"] for tool in (await facts(lived_in, OLGA))["tools"]] == ["whoami"]


async def test_what_is_shut_off_is_told_with_since_and_by(lived_in: TestHouse) -> None:
    database = Database(lived_in.policy_file.parent / "brain.db")
    try:
        await SqlDenies(database).add("mallory@example.com", at=1_800_000_000.0, by="root")
        told = (await facts(lived_in, OLGA))["operator"]["shut_off"]
    finally:
        await SqlDenies(database).delete("mallory@example.com")
        await database.close()
    assert told == [{"target": "mallory@example.com", "since": "2027-01-15T08:00:00Z", "by": "root"}]


async def test_clients_are_told_the_address_of_the_door_that_they_came_in_by(lived_in: TestHouse) -> None:
    assert (await facts(lived_in, ALICE))["connect"]["url"] == "https://brain.example.com/mcp"
    assert (await facts(lived_in, "lan"))["connect"]["url"] == "http://127.0.0.1:8084/mcp"


async def test_a_broken_policy_file_is_the_operators_first_news_and_nobody_elses(
    lived_in: TestHouse,
) -> None:
    good = lived_in.policy_file.read_text()
    try:
        lived_in.write_policy("version = 1\n[[rule]\n")
        assert "The newest policy file is not in force." in (await visit(lived_in, OLGA)).text
        assert "policy file" not in (await visit(lived_in, ALICE)).text
    finally:
        lived_in.write_policy(good)
    assert "The newest policy file" not in (await visit(lived_in, OLGA)).text

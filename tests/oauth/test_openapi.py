"""The OpenAPI document and the server say the same: every path, every method, every status."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx2
import pytest
import schemathesis

from app.oauth.openapi import document
from app.simulator import Team
from tests.audit.tables import done_to
from tests.audit.waiting import until_true
from tests.doors.raw import send
from tests.house import HOST, Clock, TestHouse, in_one_task, open_house

from . import flow
from .described import CHECKS, FILE, operations, read
from .desk import CALLBACK, answered, fields
from .flow import Browser

OPERATIONS = operations()
ELSEWHERE = {"/", "/mcp", "/mcp/"}  # a page, and another protocol
IN_PERSON = ("/authorize", "/consent", "/healthz")
REFUSED = [
    ("Host: evil.example",),
    (f"Host: {HOST}", "Connection: cf-ray"),
    (f"Host: {HOST}", "Content-Length: 99999999"),
]
TOO_LONG = "x" * 40_000


@pytest.fixture
async def house(tmp_path: Path, clock: Clock, team: Team) -> AsyncIterator[TestHouse]:
    async with in_one_task(open_house(tmp_path, clock, team, OAUTH_ENABLED="true")) as opened:
        yield opened


class Seen:
    """The statuses of each operation so far; every answer was as described."""

    def __init__(self) -> None:
        self.statuses: dict[str, set[str]] = defaultdict(set)

    def __call__(self, label: str, reply: httpx2.Response) -> None:
        OPERATIONS[label].Case().validate_response(reply, checks=CHECKS)
        self.statuses[label].add(str(reply.status_code))


def documented() -> dict[str, set[str]]:
    paths = read()["paths"].items()
    return {
        f"{method.upper()} {path}": set(one["responses"])
        for path, there in paths
        for method, one in there.items()
    }


async def sent(house: TestHouse, label: str, *lines: str, query: str = "") -> httpx2.Response:
    """The answer to a request with these lines for its head, and without a body."""
    head = [f"{label}{query} HTTP/1.1", *lines]
    reply = await send(house.tunnel, "\r\n".join([*head, "", ""]).encode())
    method, _, path = label.partition(" ")
    asked = httpx2.Request(method, f"{house.tunnel}{path}")
    answer = httpx2.Response(reply.status, headers=list(reply.headers), content=reply.body, request=asked)
    answer.elapsed = timedelta()
    return answer


def test_the_file_is_of_now_and_a_valid_document() -> None:
    assert FILE.read_text() == document.text(), "run: make docs"
    schemathesis.openapi.from_path(str(FILE)).validate()


async def test_every_path_at_the_door_is_described_and_no_other(house: TestHouse) -> None:
    reply = await house.tunnel_request("GET", "/nowhere", token=house.team.token())
    known = reply.json()["error_description"].partition("Known: ")[2].split(", ")
    assert set(known) - ELSEWHERE == set(read()["paths"])


async def test_every_method_of_a_path_is_described_and_no_other(house: TestHouse) -> None:
    for path, there in read()["paths"].items():
        reply = await house.tunnel_request("PUT", path, token=house.team.token())
        allow = reply.headers["allow"]
        assert {method.upper() for method in there} == set(allow.split(", ")), path
        wrong = {"error": "method_not_allowed", "error_description": f"This path takes {allow}."}
        assert (reply.status_code, reply.json()) == (405, wrong)


async def test_every_status_is_answered_and_as_described(
    house: TestHouse, tmp_path_factory: pytest.TempPathFactory, clock: Clock, team: Team
) -> None:
    seen = Seen()
    await whole_login(house, seen)
    await refusals(house, seen)
    folder = tmp_path_factory.mktemp("limited")
    opened = open_house(folder, clock, team, OAUTH_ENABLED="true", RATE_LIMIT="1")
    async with in_one_task(opened) as limited:
        await too_often(limited, seen)
        await closed(limited, seen)
    assert seen.statuses == documented()


async def whole_login(house: TestHouse, seen: Seen) -> None:
    """From registration to the end of the grant, by a client that has a secret."""
    wanted = {"redirect_uris": [CALLBACK], "token_endpoint_auth_method": "client_secret_post"}
    registered = await house.tunnel_request("POST", "/register", json=wanted)
    seen("POST /register", registered)
    client, browser = registered.json(), Browser(house)
    own = {"client_id": client["client_id"], "client_secret": client["client_secret"]}
    page = await flow.ask(browser, client)
    seen("GET /authorize", page)
    seen("GET /consent", await browser.get("/consent", {"request": fields(page)["request"]}))
    answer = await flow.consent(browser, page)
    seen("POST /consent", answer)
    seen("GET /authorize", await flow.ask(browser, client, prompt="none"))  # an error for the client
    secret, code = own["client_secret"], answered(answer)["code"]
    first = await flow.exchange(house, client, code, client_secret=secret)
    seen("POST /token", first)
    second = await flow.refresh(house, client, first.json()["refresh_token"], client_secret=secret)
    seen("POST /token", second)
    for token, active in ((second.json()["access_token"], True), ("x", False)):
        looked_at = await flow.post_form(house, "/introspect", token=token, **own)
        seen("POST /introspect", looked_at)
        assert looked_at.json()["active"] is active
    over = second.json()["refresh_token"]
    seen("POST /revoke", await flow.post_form(house, "/revoke", token=over, **own))


async def refusals(house: TestHouse, seen: Seen) -> None:
    """Everything that the door says, and what is said to those who bring nothing."""
    signed_in = f"Cf-Access-Jwt-Assertion: {house.team.token()}"
    for label, operation in OPERATIONS.items():
        for lines in REFUSED:
            seen(label, await sent(house, label, *lines))
        if operation.path in IN_PERSON:
            seen(label, await sent(house, label, f"Host: {HOST}"))
            elsewhere = "Origin: https://evil.example"
            seen(label, await sent(house, label, f"Host: {HOST}", elsewhere, signed_in))
        if operation.method in ("get", "head", "options"):
            seen(label, await sent(house, label, f"Host: {HOST}", signed_in))
        if "414" in documented()[label]:
            seen(label, await sent(house, label, f"Host: {HOST}", signed_in, query=f"?state={TOO_LONG}"))
    for path in ("/token", "/revoke", "/introspect"):
        seen(f"POST {path}", await flow.post_form(house, path, client_id="nobody"))


async def too_often(house: TestHouse, seen: Seen) -> None:
    """One request is all that anybody has."""
    for lines in ([], [f"Cf-Access-Jwt-Assertion: {house.team.token()}"]):
        await sent(house, "GET /healthz" if lines else "GET /jwks", f"Host: {HOST}", *lines)
        for label, operation in OPERATIONS.items():
            if (operation.path in IN_PERSON) == bool(lines):
                seen(label, await sent(house, label, f"Host: {HOST}", *lines))


async def closed(house: TestHouse, seen: Seen) -> None:
    """As `brain deny door:tunnel` does it."""
    await done_to(flow.file_of(house), "INSERT INTO denies VALUES ('door:tunnel', 0, 'test')")

    async def is_so() -> bool:
        return (await sent(house, "GET /jwks", f"Host: {HOST}")).status_code == 503

    await until_true(is_so, 5.0)
    for label in OPERATIONS:
        seen(label, await sent(house, label, f"Host: {HOST}"))

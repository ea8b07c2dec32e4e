"""The chain from the first 401 to the login page, as each client walks it, and where it would get lost."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from app.doctor.clients import CLIENTS, McpClient
from app.doctor.discovery import Ask, Chain, alike, follow, in_one
from app.simulator import SigningKey
from app.tunnel.answers import Answer, Unreached
from tests.house import PUBLIC, Clock, TestHouse, in_one_task, new_team, open_house

pytestmark = pytest.mark.asyncio(loop_scope="module")

RESOURCE = f"{PUBLIC}/mcp"
PATH = "/.well-known/oauth-protected-resource/mcp"
ROOT = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server"
OPENID = "/.well-known/openid-configuration"
CLAUDE, CODE, CHATGPT, VS_CODE, *_ = CLIENTS
Change = Callable[[dict[str, Any]], dict[str, Any] | int]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_door(
    tmp_path_factory: pytest.TempPathFactory, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> AsyncIterator[TestHouse]:
    clock = Clock()
    opened = open_house(
        tmp_path_factory.mktemp("chain"), clock, new_team(clock, signing_keys[:2]), OAUTH_ENABLED="true"
    )
    async with in_one_task(opened) as house:
        yield house


def asking(house: TestHouse, changed: dict[str, Change] | None = None, challenge: str = "") -> Ask:
    """As through a perfect tunnel. `changed`: documents by path; a number is a status in their place."""

    async def ask(method: str, url: str) -> Answer | Unreached:
        if not url.startswith(PUBLIC):
            return Unreached("name", "not here")
        path = url.removeprefix(PUBLIC)
        found = await house.tunnel_request(method, path)
        answer = Answer(found.status_code, {k.lower(): v for k, v in found.headers.items()}, found.content)
        if challenge and method == "POST":
            return Answer(401, {"www-authenticate": challenge})
        if changed is None or path not in changed:
            return answer
        after = changed[path](dict(answer.document))
        return Answer(after) if isinstance(after, int) else Answer(200, {}, json.dumps(after).encode())

    return ask


async def test_Q13_the_exact_chain_of_a_resource_is_printed(open_door: TestHouse) -> None:
    chain = await follow(CLAUDE, RESOURCE, asking(open_door))
    assert chain.mismatches == []
    assert chain.hops == [
        f"POST {RESOURCE} → 401, resource_metadata {PUBLIC}{PATH}",
        f"GET {PUBLIC}{PATH} → 200, resource {RESOURCE}, authorization server {PUBLIC}",
        f"GET {PUBLIC}{SERVER} → 200, issuer {PUBLIC}, login at {PUBLIC}/authorize",
        f"GET {PUBLIC}/jwks → 200, 1 key",
    ]
    told = in_one([chain], oauth=True)
    assert told.ok is True
    assert told.lines == (f"{CLAUDE.name}:", *(f"  {hop}" for hop in chain.hops))


async def test_Q13_every_client_finds_the_login_by_its_own_sequence(open_door: TestHouse) -> None:
    ask = asking(open_door)
    chains = [await follow(client, RESOURCE, ask) for client in CLIENTS]
    assert [chain.client for chain in chains if not chain.ok] == []
    assert (await alike(RESOURCE, ask)).mismatches == []


def with_(**members: Any) -> Change:
    return lambda document: {**document, **members}


def without(*members: str) -> Change:
    return lambda document: {name: value for name, value in document.items() if name not in members}


def status(code: int) -> Change:
    return lambda _: code


@pytest.mark.parametrize(
    ("client", "changed", "mismatch"),
    [
        (CLAUDE, {PATH: with_(resource=PUBLIC)}, "and it refuses all but"),
        (CHATGPT, {PATH: with_(resource="https://other.example/mcp")}, "which is not where"),
        (CLAUDE, {PATH: with_(authorization_servers=[])}, "there is nobody to log in at"),
        (CLAUDE, {PATH: with_(authorization_servers=["http://brain.example.com"])}, "not https"),
        (CLAUDE, {PATH: status(404)}, "the 401 names"),
        (CLAUDE, {PATH: status(503)}, "and it gives up here"),
        (VS_CODE, {PATH: status(404), ROOT: status(404)}, "it would guess /authorize"),
        (CLAUDE, {SERVER: with_(issuer=f"{PUBLIC}/")}, "and the resource names"),
        (CLAUDE, {SERVER: with_(token_endpoint="http://brain.example.com/token")}, "`token_endpoint` is"),
        (CLAUDE, {SERVER: with_(code_challenge_methods_supported=["plain"])}, "has no S256"),
        (CLAUDE, {SERVER: with_(response_types_supported=["token"])}, "has no code"),
        (
            CHATGPT,
            {SERVER: with_(token_endpoint_auth_methods_supported=["client_secret_basic"])},
            "but not `none`",
        ),
        (
            CLAUDE,
            {SERVER: without("registration_endpoint", "client_id_metadata_document_supported")},
            "it cannot become a client",
        ),
        (CLAUDE, {SERVER: status(500)}, "and it gives up here"),
        (CLAUDE, {SERVER: status(404), OPENID: status(404)}, "has no metadata of an authorization server"),
        (
            CODE,
            {SERVER: status(404), OPENID: without("subject_types_supported")},
            "the OpenID document has no subject_types_supported",
        ),
        (CLAUDE, {"/jwks": with_(keys=[])}, "holds no keys"),
    ],
)
async def test_Q13_a_mismatch_is_flagged_with_what_the_client_does_about_it(
    open_door: TestHouse, client: McpClient, changed: dict[str, Change], mismatch: str
) -> None:
    chain = await follow(client, RESOURCE, asking(open_door, changed))
    assert mismatch in chain.mismatches[0]
    told = in_one([chain], oauth=True)
    assert (told.ok, told.evidence.startswith("1 of 1 clients get lost")) == (False, True)
    assert told.fix
    assert told.lines[len(chain.hops) + 1] == f"  ! {chain.mismatches[0]}"


async def test_Q13_a_401_that_names_no_metadata_stops_who_looks_nowhere_else(open_door: TestHouse) -> None:
    ask = asking(open_door, challenge='Bearer realm="x"')
    assert (await follow(CODE, RESOURCE, ask)).mismatches == [
        "the 401 names no resource_metadata: it gives up here"
    ]
    assert (await follow(CLAUDE, RESOURCE, ask)).ok


async def test_Q13_documents_that_differ_by_the_place_they_are_at_are_flagged(open_door: TestHouse) -> None:
    def differing(path: str, change: Change) -> Ask:
        return asking(open_door, {path: change})

    root = await alike(RESOURCE, differing(ROOT, with_(resource=PUBLIC)))
    assert root.mismatches == [f"{ROOT} says something else than {PATH}"]
    openid = await alike(RESOURCE, differing(OPENID, with_(issuer="https://other.example")))
    assert openid.mismatches == [f"{OPENID} says something else than {SERVER}"]


async def test_Q13_ways_that_are_the_same_are_printed_once() -> None:
    same = [Chain("a", ["GET x"]), Chain("b", ["GET x"]), Chain("c", ["GET y"])]
    told = in_one(same, oauth=True)
    assert told.evidence == "3 clients find the login, by 2 ways"
    assert told.lines == ("a, b:", "  GET x", "c:", "  GET y")

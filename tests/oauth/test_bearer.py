"""The MCP endpoint as a resource server: who shows what, and what they are told (RFC 6750, RFC 9728)."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.simulator import SigningKey
from tests.house import HOST, NIGHTLY, PUBLIC, Clock, new_team

from . import holders
from .holders import ALICE, BOB, METADATA, READ, WRITE, Holders, challenge_of

pytestmark = pytest.mark.asyncio(loop_scope="module")
EVIL = {"Origin": "https://evil.example"}


async def test_N1_N9_N11_nobody_is_told_where_to_get_a_token_and_no_error(at_home: Holders) -> None:
    for method in ("initialize", "ping", "tools/list", "server/discover", "notifications/initialized"):
        answer = await at_home.ask(method)
        assert answer.status_code == 401
        assert challenge_of(answer) == {"scope": READ, "resource_metadata": METADATA}
        assert answer.json()["error"] == "unauthorized"
        assert answer.headers["cache-control"] == "no-store"


async def test_N1_N2_the_first_challenge_names_all_scopes_where_it_shall(
    tmp_path: Path, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> None:
    clock = Clock()
    team = new_team(clock, signing_keys[:2])
    async with holders.opened(tmp_path, clock, team, OAUTH_CHALLENGE="full") as home:
        assert challenge_of(await home.ask("ping"))["scope"] == f"{READ} {WRITE} notes:delete"


async def test_N2_N10_N17_a_bad_token_is_called_that_and_not_repeated(at_home: Holders) -> None:
    answer = await at_home.ask("tools/list", "abcdef.abcdef.abcdef")
    assert answer.status_code == 401
    assert challenge_of(answer) == {
        "error": "invalid_token",
        "error_description": answer.json()["error_description"],
        "scope": READ,
        "resource_metadata": METADATA,
    }
    assert answer.json()["error"] == "invalid_token"
    assert "abcdef" not in str(answer.headers) + answer.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
async def test_N3_the_scheme_in_any_letters(at_home: Holders, scheme: str) -> None:
    token = await at_home.token()
    headers = {"Authorization": f"{scheme} {token}"}
    assert (await at_home.ask("tools/list", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("value", "status", "error"),
    [
        ("Basic YTpi", 401, None),
        ("Bearer", 401, None),
        ("", 401, None),
        ("Bearer a b", 400, "invalid_request"),
        ("Bearer a,b", 400, "invalid_request"),
        ('Bearer "a"', 400, "invalid_request"),
        ("Bearer a\tb", 400, "invalid_request"),
        ("Bearer ä", 400, "invalid_request"),
    ],
)
async def test_N4_other_credentials(at_home: Holders, value: str, status: int, error: str | None) -> None:
    answer = await at_home.house.http.post(
        f"{at_home.house.tunnel}/mcp",
        headers=[(b"host", HOST.encode()), (b"authorization", value.encode("latin-1"))],
        json={},
    )
    assert answer.status_code == status
    assert challenge_of(answer).get("error") == error


async def test_N5_two_authorization_headers(at_home: Holders) -> None:
    bearer = f"Bearer {await at_home.token()}".encode()
    answer = await at_home.house.http.post(
        f"{at_home.house.tunnel}/mcp",
        headers=[(b"host", HOST.encode()), (b"authorization", bearer), (b"authorization", bearer)],
        json={},
    )
    assert answer.status_code == 400
    assert challenge_of(answer)["error"] == "invalid_request"


async def test_N6_N7_a_token_elsewhere_is_none(at_home: Holders) -> None:
    token = await at_home.token()
    answer = await at_home.house.tunnel_request("POST", f"/mcp?access_token={token}", json={})
    assert answer.status_code == 401
    answer = await at_home.house.tunnel_request("POST", "/mcp", data={"access_token": token})
    assert answer.status_code == 401


async def test_N8_every_method_needs_a_token_first(at_home: Holders) -> None:
    for method in ("GET", "DELETE", "HEAD", "PUT"):
        for path in ("/mcp", "/mcp/"):
            answer = await at_home.house.tunnel_request(method, path)
            assert answer.status_code == 401
            assert "resource_metadata" in challenge_of(answer)
    bearer = {"Authorization": f"Bearer {await at_home.token()}"}
    assert (await at_home.house.tunnel_request("DELETE", "/mcp", headers=bearer)).status_code == 405


async def test_N17_N19_no_token_is_in_the_log(at_home: Holders, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    token = await at_home.token()
    await at_home.ask("tools/list", token)
    await at_home.ask("tools/list", token[:-4] + "AAAA")
    await at_home.call("create_note", token, title="a", text="b")
    assert token.rpartition(".")[2][:40] not in caplog.text


async def test_N18_answers_are_for_one_alone(at_home: Holders) -> None:
    answer = await at_home.ask("tools/list", await at_home.token())
    result = answer.json()["result"]
    assert "no-store" in answer.headers.get("cache-control", "") or result.get("cacheScope") == "private"


async def test_N21_a_slash_more_is_the_same_place(at_home: Holders) -> None:
    token = await at_home.token()
    answer = await at_home.ask("tools/list", token, path="/mcp/")
    assert answer.status_code == 200
    assert (await at_home.house.tunnel_request("GET", "/")).status_code == 401


async def test_N14_N15_a_new_token_goes_on_and_a_revoked_one_ends(at_home: Holders) -> None:
    grant = await at_home.grant()
    first, second = at_home.minted(grant).token, at_home.minted(grant).token
    for token in (first, second, first):
        assert (await at_home.call("whoami", token)).status_code == 200
    await at_home.store.revoke_grant(grant.id, at_home.house.clock())
    for token in (first, second):
        assert (await at_home.call("whoami", token)).status_code == 401


async def test_N22_both_doors_know_the_same_person_by_the_same_rules(at_home: Holders) -> None:
    house = at_home.house
    by_access = await at_home.ask(
        "tools/call", assertion=house.team.token(ALICE), name="whoami", arguments={}
    )
    by_token = await at_home.call("whoami", await at_home.token(ALICE, (READ, WRITE)))
    one, other = (answer.json()["result"]["structuredContent"] for answer in (by_access, by_token))
    assert (one["principal"], one["kind"], one["rules"]) == (
        other["principal"],
        other["kind"],
        other["rules"],
    )
    assert (one["client"], other["client"]) == (None, "c1")


async def test_N22_with_both_the_bearer_decides_and_they_must_agree(at_home: Holders) -> None:
    alice, bob = (at_home.house.team.token(who) for who in (ALICE, BOB))
    token = await at_home.token(ALICE, (READ,))
    both = await at_home.ask("tools/call", token, assertion=alice, name="whoami", arguments={})
    assert both.json()["result"]["structuredContent"]["scopes"] == [READ]
    for assertion in (bob, at_home.house.team.service_token(NIGHTLY), "not.an.assertion"):
        answer = await at_home.ask("tools/list", token, assertion=assertion)
        assert answer.status_code == 401
        assert challenge_of(answer)["error"] == "invalid_token"
    # A bearer that is no good is never made up for.
    answer = await at_home.ask("tools/list", "a.b.c", assertion=alice)
    assert answer.status_code == 401


async def test_P1_P3_P4_P8_the_origin_comes_before_the_token_and_the_token_before_all_else(
    at_home: Holders,
) -> None:
    token = await at_home.token()
    for credential in (None, "a.b.c", token):
        for origin in ("https://evil.example", "null", f"{PUBLIC}.evil.example"):
            answer = await at_home.ask("tools/list", credential, headers={"Origin": origin})
            assert answer.status_code == 403
            assert answer.json()["error"] == "bad_origin"
    wrong = {"MCP-Protocol-Version": "1999-01-01", "Mcp-Method": "tools/call"}
    assert (await at_home.ask("tools/list", headers=wrong)).status_code == 401
    assert (await at_home.ask("tools/list", token, headers=wrong)).status_code == 400
    answer = await at_home.house.tunnel_request("POST", "/mcp", content=b"\x00not json")
    assert answer.status_code == 401
    other_host = {"Host": "evil.example", "Authorization": f"Bearer {token}"}
    answer = await at_home.house.http.post(f"{at_home.house.tunnel}/mcp", headers=other_host, json={})
    assert answer.status_code == 421


async def test_P2_our_own_origin_and_none_at_all(at_home: Holders) -> None:
    token = await at_home.token()
    for headers in ({}, {"Origin": PUBLIC}):
        assert (await at_home.ask("tools/list", token, headers=headers)).status_code == 200


async def test_P9_pages_of_others_may_discover_and_not_consent(at_home: Holders) -> None:
    for path in (
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/jwks",
    ):
        answer = await at_home.house.tunnel_request("GET", path, headers=EVIL)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "*"
    assertion = at_home.house.team.token(ALICE)
    answer = await at_home.house.tunnel_request("POST", "/consent", token=assertion, headers=EVIL)
    assert answer.status_code == 403


async def test_G1_people_are_told_on_a_page_and_sent_nowhere(at_home: Holders) -> None:
    for path in ("/authorize?client_id=c1&redirect_uri=https://client.example/cb", "/consent"):
        for token in (None, "a.b.c"):
            answer = await at_home.house.tunnel_request("GET", path, token=token)
            assert answer.status_code == 401
            assert answer.headers["content-type"] == "text/html; charset=utf-8"
            assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
            assert "location" not in answer.headers

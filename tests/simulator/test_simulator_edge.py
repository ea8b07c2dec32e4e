"""Who passes the edge, and with which headers."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx2
import pytest

from app.simulator import Application, Running, SigningKey, Simulator, Team, running

from .conftest import HOST, Clock
from .origin import Origin, Seen

Headers = dict[str, str]
NIGHTLY = {"cf-access-client-id": "0123.access", "cf-access-client-secret": "the-secret"}
WRONG = {"cf-access-client-id": "0123.access", "cf-access-client-secret": "wrong"}


async def seen(edge: httpx2.AsyncClient, headers: Any, path: str = "/mcp", **more: Any) -> Seen:
    answer = await edge.request(more.pop("method", "GET"), path, headers=headers, **more)
    assert answer.status_code == 200
    return Seen(answer.json())


async def test_a_person_reaches_the_origin_with_their_token_and_email(
    edge: httpx2.AsyncClient, alice: Headers
) -> None:
    request = await seen(edge, alice)
    assert request.one("cf-access-jwt-assertion") == alice["cf-access-token"]
    assert request.one("cf-access-authenticated-user-email") == "alice@example.com"


async def test_the_edge_adds_its_own_headers(edge: httpx2.AsyncClient, alice: Headers) -> None:
    request = await seen(edge, alice)
    assert request.one("host") == HOST
    assert request.one("cf-connecting-ip") == "127.0.0.1"
    assert request.one("x-forwarded-for") == "127.0.0.1"
    assert request.one("x-forwarded-proto") == "https"
    assert request.one("cf-ipcountry") == "US"
    assert request.one("cdn-loop").startswith("cloudflare")
    assert request.one("cf-visitor") == '{"scheme":"https"}'
    assert len(request.one("cf-warp-tag-id")) == 36
    assert request.one("cf-ray")


async def test_every_request_has_its_own_ray_and_the_client_learns_it(
    edge: httpx2.AsyncClient, alice: Headers
) -> None:
    first, second = [await edge.get("/mcp", headers=alice) for _ in range(2)]
    assert first.headers["cf-ray"] == Seen(first.json()).one("cf-ray")
    assert first.headers["cf-ray"] != second.headers["cf-ray"]
    assert first.headers["server"] == "cloudflare"


async def test_what_a_client_claims_about_itself_is_replaced(
    edge: httpx2.AsyncClient, alice: Headers
) -> None:
    forged = {
        "cf-connecting-ip": "10.0.0.1",
        "cf-ray": "mine",
        "cf-ipcountry": "XX",
        "x-forwarded-proto": "http",
        "x-forwarded-for": "10.9.9.9",
        "cf-cloudflared-proxy-src": "x",
    }
    request = await seen(edge, alice | forged)
    assert request.one("cf-connecting-ip") == "127.0.0.1"
    assert request.one("cf-ray") != "mine"
    assert request.one("cf-ipcountry") == "US"
    assert request.one("x-forwarded-proto") == "https"
    assert request.one("x-forwarded-for") == "10.9.9.9, 127.0.0.1"
    assert not request.all("cf-cloudflared-proxy-src")


async def test_a_clients_own_access_headers_never_reach_the_origin(
    edge: httpx2.AsyncClient, team: Team, alice: Headers
) -> None:
    forged = {
        "cf-access-jwt-assertion": team.token("bob@example.com"),
        "cf-access-authenticated-user-email": "bob@example.com",
        "cf-access-anything": "x",
    }
    request = await seen(edge, alice | forged)
    assert request.one("cf-access-jwt-assertion") == alice["cf-access-token"]
    assert request.one("cf-access-authenticated-user-email") == "alice@example.com"
    assert not request.all("cf-access-anything")
    assert not request.all("cf-access-token")


async def test_with_stripping_off_the_origin_sees_two_assertions(
    edge: httpx2.AsyncClient, application: Application, alice: Headers
) -> None:
    application.strip_access_headers = False
    request = await seen(edge, alice | {"cf-access-jwt-assertion": "forged"})
    assert request.all("cf-access-jwt-assertion") == ["forged", alice["cf-access-token"]]


async def test_a_bypass_lets_anyone_through_with_whatever_they_send(
    edge: httpx2.AsyncClient, application: Application, alice: Headers
) -> None:
    application.bypass = ("/open/*",)
    request = await seen(edge, {"cf-access-jwt-assertion": "forged"}, "/open/door")
    assert request.all("cf-access-jwt-assertion") == ["forged"]
    assert request.one("cf-ray")
    assert not (await seen(edge, alice, "/open/door")).all("cf-access-jwt-assertion")
    assert (await edge.get("/opened")).status_code == 302


@pytest.mark.parametrize("token", ["garbage", "a.b.c", ""])
async def test_a_bad_token_is_sent_to_the_login(
    edge: httpx2.AsyncClient, token: str, origin: tuple[Origin, str]
) -> None:
    assert (await edge.get("/mcp", headers={"cf-access-token": token})).status_code == 302
    assert (await edge.get("/mcp", headers={"cookie": f"CF_Authorization={token}"})).status_code == 302
    assert origin[0].requests == 0


async def test_a_token_is_good_until_it_expires(
    edge: httpx2.AsyncClient, alice: Headers, clock: Clock
) -> None:
    clock.advance(24 * 3600 - 1)
    assert (await edge.get("/mcp", headers=alice)).status_code == 200
    clock.advance(1)
    assert (await edge.get("/mcp", headers=alice)).status_code == 302


async def test_a_logged_out_person_is_out_at_the_edge(
    edge: httpx2.AsyncClient, team: Team, alice: Headers
) -> None:
    cookie = {"cookie": f"CF_Authorization={alice['cf-access-token']}"}
    assert (await edge.get("/cdn-cgi/access/logout", headers=cookie)).status_code == 200
    assert (await edge.get("/mcp", headers=alice)).status_code == 302


async def test_a_person_removed_from_the_team_is_out(
    edge: httpx2.AsyncClient, team: Team, alice: Headers
) -> None:
    del team.people["alice@example.com"]
    assert (await edge.get("/mcp", headers=alice)).status_code == 302


async def test_a_service_token_becomes_an_assertion_without_a_person(
    edge: httpx2.AsyncClient, team: Team
) -> None:
    request = await seen(edge, NIGHTLY)
    claims = team.verified(request.one("cf-access-jwt-assertion")) or {}
    assert (claims["common_name"], claims["sub"]) == ("0123.access", "")
    for name in ("cf-access-authenticated-user-email", "cf-access-client-id", "cf-access-client-secret"):
        assert not request.all(name)


async def test_a_service_tokens_assertion_is_reused_and_renewed_after_a_rotation(
    edge: httpx2.AsyncClient, team: Team, clock: Clock, keys: tuple[SigningKey, SigningKey, SigningKey]
) -> None:
    first = (await seen(edge, NIGHTLY)).one("cf-access-jwt-assertion")
    clock.advance(60)
    assert (await seen(edge, NIGHTLY)).one("cf-access-jwt-assertion") == first
    team.rotate_keys(keys[2])
    assert (await seen(edge, NIGHTLY)).one("cf-access-jwt-assertion") != first


async def test_a_wrong_service_token_is_redirected_or_refused_as_the_application_says(
    edge: httpx2.AsyncClient, application: Application
) -> None:
    assert (await edge.get("/mcp", headers=WRONG)).status_code == 302
    application.service_auth_401_redirect = True
    refused = await edge.get("/mcp", headers=WRONG)
    assert refused.status_code == 401
    assert "cf-access-error" in refused.headers


async def test_strict_service_tokens_ignore_cookies_and_refuse_doubled_or_half_pairs(
    edge: httpx2.AsyncClient, application: Application, alice: Headers
) -> None:
    application.strict_service_token_auth = True
    cookie = {"cookie": f"CF_Authorization={alice['cf-access-token']}"}
    half = {"cf-access-client-id": "0123.access"}
    double = [*NIGHTLY.items(), ("cf-access-client-id", "0123.access")]
    for headers in (WRONG | cookie, half | cookie, double):
        assert (await edge.get("/mcp", headers=headers)).status_code == 401
    good = await edge.get("/mcp", headers=NIGHTLY)
    assert good.status_code == 200
    assert not any(cookie.startswith("CF_Authorization") for cookie in good.headers.get_list("set-cookie"))


async def test_without_strictness_a_service_token_gets_a_cookie_that_does_not_make_it_a_person(
    edge: httpx2.AsyncClient, team: Team
) -> None:
    (cookie,) = [
        value
        for value in (await edge.get("/mcp", headers=NIGHTLY)).headers.get_list("set-cookie")
        if value.startswith("CF_Authorization=")
    ]
    assert team.person_of(cookie.split("=", 1)[1].split(";")[0]) is None


async def test_a_managed_oauth_bearer_becomes_an_ordinary_assertion(
    edge: httpx2.AsyncClient, team: Team
) -> None:
    bearer = {"authorization": f"Bearer {team.managed_oauth_token('bob@example.com')}"}
    request = await seen(edge, bearer)
    claims = team.verified(request.one("cf-access-jwt-assertion")) or {}
    assert claims["email"] == "bob@example.com"
    assert not request.all("authorization")


async def test_managed_oauth_challenges_programs_and_sends_browsers_to_the_login(
    edge: httpx2.AsyncClient, application: Application
) -> None:
    application.managed_oauth = True
    program = await edge.post("/mcp", headers={"accept": "application/json, text/event-stream"})
    metadata = f"https://{HOST}/.well-known/cloudflare-access-protected-resource/mcp"
    assert program.status_code == 401
    assert program.headers["www-authenticate"] == (
        f'Bearer realm="OAuth", error="invalid_token", resource_metadata="{metadata}"'
    )
    assert (await edge.get("/mcp", headers={"accept": "text/html"})).status_code == 302


async def test_managed_oauth_shadows_the_origins_own_metadata(
    edge: httpx2.AsyncClient, application: Application, origin: tuple[Origin, str]
) -> None:
    application.managed_oauth = True
    resource = (await edge.get("/.well-known/oauth-protected-resource/mcp")).json()
    assert resource == {
        "resource": f"https://{HOST}/mcp",
        "authorization_servers": ["https://acme.cloudflareaccess.com"],
    }
    server = (await edge.get("/.well-known/oauth-authorization-server")).json()
    assert server["issuer"] == "https://acme.cloudflareaccess.com"
    assert origin[0].requests == 0


async def test_without_managed_oauth_everyone_is_redirected_with_a_hint(edge: httpx2.AsyncClient) -> None:
    answer = await edge.get("/mcp?x=1")
    assert answer.status_code == 302
    assert answer.headers["www-authenticate"].startswith("Cloudflare-Access resource_metadata=")


async def test_a_background_request_of_a_page_gets_401_instead_of_a_redirect(
    edge: httpx2.AsyncClient,
) -> None:
    answer = await edge.get("/mcp", headers={"x-requested-with": "XMLHttpRequest"})
    assert answer.status_code == 401


async def test_the_path_reaches_the_origin_byte_for_byte(run: Running, alice: Headers) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        for target in (b"/mcp/%2e%2e/x", b"/a/../b", b"//mcp", b"/mcp?q=%20&&r"):
            answer = await client.get(run.edge_url, headers=alice, extensions={"target": target})
            request = Seen(answer.json())
            assert request.raw_path + ("?" + request.query if request.query else "") == target.decode()


async def test_blanks_around_a_header_value_end_at_the_edge(run: Running, alice: Headers) -> None:
    where = httpx2.URL(run.edge_url)
    reader, writer = await asyncio.open_connection(where.host, where.port)
    head = {"host": HOST, "connection": "close", **alice, "mcp-name": " \t search \t"}
    writer.write(b"GET /mcp HTTP/1.1\r\n" + b"".join(f"{k}: {v}\r\n".encode() for k, v in head.items()))
    writer.write(b"\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b'["mcp-name", "search"]' in answer


async def test_methods_bodies_and_repeated_headers_pass(edge: httpx2.AsyncClient, alice: Headers) -> None:
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        assert (await seen(edge, alice, method=method)).method == method
    assert (await edge.head("/mcp", headers=alice)).status_code == 200
    assert (await seen(edge, alice, method="POST", content=b"x" * 3_000_000)).body_size == 3_000_000
    doubled = await seen(edge, [*alice.items(), ("accept", "a/b"), ("accept", "c/d")])
    assert doubled.all("accept")[-2:] == ["a/b", "c/d"]


async def test_a_body_of_unknown_length_passes(edge: httpx2.AsyncClient, alice: Headers) -> None:
    async def chunks() -> Any:
        yield b"one"
        yield b"two"

    assert (await seen(edge, alice, method="POST", content=chunks())).body_size == 6


async def test_cookies_are_merged_and_the_origins_cookies_all_arrive(
    edge: httpx2.AsyncClient, alice: Headers
) -> None:
    request = [*alice.items(), ("cookie", "a=1"), ("cookie", "b=2")]
    answer = await edge.get("/mcp", headers=request)
    assert Seen(answer.json()).one("cookie") == "a=1; b=2"
    assert answer.headers.get_list("set-cookie") == ["one=1", "two=2"]


async def test_an_unknown_hostname_is_not_served(edge: httpx2.AsyncClient, alice: Headers) -> None:
    assert (await edge.get("/mcp", headers=alice | {"host": "evil.example"})).status_code == 403
    assert (await edge.get("/mcp", headers=alice | {"host": HOST})).status_code == 200


async def test_cloudflares_own_paths_never_reach_the_origin(
    edge: httpx2.AsyncClient, alice: Headers, origin: tuple[Origin, str]
) -> None:
    assert (await edge.get("/cdn-cgi/trace", headers=alice)).status_code == 404
    assert origin[0].requests == 0


async def test_an_origin_that_is_down_is_502(
    edge: httpx2.AsyncClient, application: Application, alice: Headers
) -> None:
    application.origin = "127.0.0.1:1"
    assert (await edge.get("/mcp", headers=alice)).status_code == 502
    application.origin = "unix:/nowhere/at/all"
    assert (await edge.get("/mcp", headers=alice)).status_code == 502


async def test_the_edge_itself_needs_no_access_to_the_certs(
    edge: httpx2.AsyncClient, run: Running, alice: Headers
) -> None:
    await run.refuse_access()
    assert (await edge.get("/mcp", headers=alice)).status_code == 200


async def test_two_simulators_do_not_take_each_others_people(
    team: Team, application: Application, run: Running
) -> None:
    other = Team("other", now=team.now, people=team.people.values(), keys=(team.previous, team.current))
    async with (
        running(Simulator(other, Application(application.origin))) as second,
        httpx2.AsyncClient(base_url=second.edge_url, trust_env=False) as client,
    ):
        assert (await client.get("/", headers={"cf-access-token": team.token()})).status_code == 302
        assert (await client.get("/", headers={"cf-access-token": other.token()})).status_code == 200

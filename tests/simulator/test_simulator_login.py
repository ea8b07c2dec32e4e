"""The way of a browser: refused, logged in, back where it wanted to go."""

from __future__ import annotations

import re

import httpx2
import pytest

from app.simulator import Application, Running, Simulator, Team, running
from app.simulator.access import local_path

from .origin import Seen


@pytest.fixture
async def browser(team: Team, application: Application) -> httpx2.AsyncClient:
    """Follows redirects and keeps cookies; the public hostname is the edge's own address."""
    application.host = ""
    return httpx2.AsyncClient(follow_redirects=True, trust_env=False, headers={"accept": "text/html"})


async def test_a_browser_logs_in_and_lands_where_it_wanted_to_go(
    browser: httpx2.AsyncClient, team: Team, application: Application
) -> None:
    async with running(Simulator(team, application)) as run, browser:
        login = await browser.get(f"{run.edge_url}/notes?tag=tea%20time")
        assert login.url.path == f"/cdn-cgi/access/login/{application.host}"
        home = await browser.post(login.url, data={"email": "alice@example.com"})
        request = Seen(home.json())
        assert (request.raw_path, request.query) == ("/notes", "tag=tea%20time")
        assert request.one("cf-access-authenticated-user-email") == "alice@example.com"
        assert request.one("cookie") == f"CF_Authorization={request.one('cf-access-jwt-assertion')}"


async def test_logging_out_ends_at_the_login_again(
    browser: httpx2.AsyncClient, team: Team, application: Application
) -> None:
    async with running(Simulator(team, application)) as run, browser:
        login = await browser.get(f"{run.edge_url}/")
        await browser.post(login.url, data={"email": "bob@example.com"})
        await browser.get(f"{run.edge_url}/cdn-cgi/access/logout")
        assert "CF_Authorization" not in browser.cookies
        assert (await browser.get(f"{run.edge_url}/")).url.path.startswith("/cdn-cgi/access/login/")


async def test_a_login_can_be_finished_once(edge: httpx2.AsyncClient, team: Team) -> None:
    authorized = f"/cdn-cgi/access/authorized?nonce={team.begin_login('alice@example.com', '/x')}"
    first, second = [await edge.get(authorized) for _ in range(2)]
    assert (first.status_code, first.headers["location"]) == (302, "/x")
    assert "HttpOnly" in first.headers["set-cookie"]
    assert second.status_code == 400
    assert "set-cookie" not in second.headers


async def test_the_login_names_the_application_and_every_person(
    access: httpx2.AsyncClient, application: Application
) -> None:
    page = (await access.get(f"/cdn-cgi/access/login/{application.host}")).text
    assert "Who wants to use <strong>brain.example.com</strong>?" in page
    assert re.findall(r'name="email" value="([^"]+)"', page) == ["alice@example.com", "bob@example.com"]
    assert "Groups: family, admins" in page


async def test_an_unknown_application_has_no_login(access: httpx2.AsyncClient) -> None:
    assert (await access.get("/cdn-cgi/access/login/other.example.com")).status_code == 404


async def test_a_stranger_cannot_be_picked(access: httpx2.AsyncClient, application: Application) -> None:
    answer = await access.post(f"/cdn-cgi/access/login/{application.host}", data={"email": "eve@example.com"})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "evil",
        "",
        "/a\r\nx: y",
        "/\t/evil.example",
    ],
)
def test_a_login_leads_nowhere_but_to_the_application(target: str) -> None:
    assert local_path(target) == "/"


async def test_pages_load_nothing_and_run_nothing(
    run: Running, access: httpx2.AsyncClient, application: Application
) -> None:
    answer = await access.get(f"/cdn-cgi/access/login/{application.host}")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert f"form-action 'self' {application.url};" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert not re.search(r"<script|<link|<img|\son\w+=|url\(|@import|\sstyle=", answer.text)


async def test_names_are_escaped(team: Team, access: httpx2.AsyncClient, application: Application) -> None:
    application.host = "<b>.example"
    page = (await access.get("/cdn-cgi/access/login/%3Cb%3E.example")).text
    assert "<strong>&lt;b&gt;.example</strong>" in page

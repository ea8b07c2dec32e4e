"""What cloudflared is told to let through: the rules, the file, and that they are true of this server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
import re2
import yaml

from app.doors.sockets import listen
from app.server import DRAIN_SECONDS, web_server
from app.settings.values import Tcp
from app.simulator import SigningKey
from app.tunnel.config import (
    GRACE_SECONDS,
    IDLE_SECONDS,
    PROGRAMS,
    SIGNED_IN,
    SIGNED_IN_PATTERN,
    STOP_SECONDS,
    Exposure,
    ingress,
    render,
)
from tests.house import Clock, TestHouse, in_one_task, new_team, open_house

ACCESS = Exposure("brain.example.com", "http://127.0.0.1:8085", "access", "acme", ("a" * 64, "b" * 64))
OAUTH = replace(ACCESS, topology="oauth", door="unix:/run/brain/tunnel.sock", auds=("a" * 64,))


def test_the_whole_host_is_behind_access_by_one_rule_without_a_path() -> None:
    assert ingress(ACCESS) == [
        {
            "hostname": "brain.example.com",
            "service": "http://127.0.0.1:8085",
            "originRequest": {
                "access": {"required": True, "teamName": "acme", "audTag": ["a" * 64, "b" * 64]},
                "connectTimeout": 5,
                "keepAliveTimeout": 4,
            },
        },
        {"service": "http_status:404"},
    ]


def test_with_the_inner_server_the_pages_come_first_and_they_alone_are_behind_access() -> None:
    pages, rest, nothing = ingress(OAUTH)
    assert list(pages) == ["hostname", "path", "service", "originRequest"]
    assert pages["path"] == SIGNED_IN_PATTERN
    assert pages["originRequest"] == {
        "access": {"required": True, "teamName": "acme", "audTag": ["a" * 64]},
        "connectTimeout": 5,
        "keepAliveTimeout": 4,
    }
    assert rest == {
        "hostname": "brain.example.com",
        "service": "unix:/run/brain/tunnel.sock",
        "originRequest": {"connectTimeout": 5, "keepAliveTimeout": 4},
    }
    assert nothing == {"service": "http_status:404"}


def test_a_team_of_the_government_is_named_as_cloudflared_wants_it() -> None:
    rule = ingress(replace(ACCESS, team="acme.fed"))[0]
    request = rule["originRequest"]
    assert isinstance(request, dict)
    assert request["access"]["teamName"] == "acme"
    assert request["access"]["environment"] == "fed"


@pytest.mark.parametrize("exposure", [ACCESS, OAUTH, replace(ACCESS, team="acme.fed")], ids=str)
def test_the_file_says_what_the_api_is_told(exposure: Exposure) -> None:
    read = yaml.safe_load(render(exposure, tunnel="7d2e", credentials="/etc/cloudflared/7d2e.json"))
    rules = read.pop("ingress")
    for rule in rules:
        request = rule.get("originRequest", {})
        seconds = [key for key, value in request.items() if isinstance(value, str)]
        rule.update({"originRequest": {**request, **{key: int(request[key][:-1]) for key in seconds}}})
        if not rule["originRequest"]:
            del rule["originRequest"]
    assert rules == ingress(exposure)
    assert read == {
        "tunnel": "7d2e",
        "credentials-file": "/etc/cloudflared/7d2e.json",
        "no-autoupdate": True,
        "metrics": "127.0.0.1:20241",
        "grace-period": f"{GRACE_SECONDS}s",
    }


def test_no_text_breaks_out_of_its_place_in_the_file() -> None:
    nasty = 'a"\n  - service: http://127.0.0.1:8084 #'
    read = yaml.safe_load(render(replace(ACCESS, door=nasty), tunnel=nasty, credentials=nasty))
    assert (read["tunnel"], read["credentials-file"]) == (nasty, nasty)
    assert [rule["service"] for rule in read["ingress"]] == [nasty, "http_status:404"]


def test_whoever_stops_cloudflared_waits_for_longer_than_it_drains() -> None:
    assert DRAIN_SECONDS < GRACE_SECONDS < STOP_SECONDS


@pytest_asyncio.fixture
async def with_oauth(
    tmp_path: Path, signing_keys: tuple[SigningKey, SigningKey, SigningKey]
) -> AsyncIterator[TestHouse]:
    clock = Clock()
    team = new_team(clock, signing_keys[:2])
    async with in_one_task(open_house(tmp_path, clock, team, OAUTH_ENABLED="true")) as house:
        yield house


async def test_every_path_of_the_door_is_in_the_table_and_in_its_right_half(
    with_oauth: TestHouse,
) -> None:
    """Asked at the door: without a credential those answer 401, and challenge nobody to bring a token."""
    missing = await with_oauth.tunnel_request(
        "GET", "/nothing", token=with_oauth.team.token("alice@example.com")
    )
    paths = missing.json()["error_description"].partition("Known: ")[2].split(", ")
    assert sorted(paths) == sorted(SIGNED_IN + PROGRAMS)
    for path in paths:
        answer = await with_oauth.tunnel_request("GET", path)
        asks_for_a_login = answer.status_code == 401 and "www-authenticate" not in answer.headers
        assert (path in SIGNED_IN) == asks_for_a_login, path
        assert bool(re2.search(SIGNED_IN_PATTERN, path)) == asks_for_a_login, path


@pytest.mark.parametrize("path", ["/mcp/authorize", "/x/../authorize", "/authorizes", "/token", "//"])
def test_the_pattern_is_anchored_at_both_ends(path: str) -> None:
    assert re2.search(SIGNED_IN_PATTERN, path) is None


@pytest.mark.parametrize("path", ["/", "/authorize", "/authorize/", "/consent/x"])
def test_the_pattern_covers_what_is_below_a_page(path: str) -> None:
    assert re2.search(SIGNED_IN_PATTERN, path)


async def test_an_idle_connection_is_ended_by_cloudflared_before_the_server_does(
    with_oauth: TestHouse,
) -> None:
    """Else a request may be sent into a connection that has just been closed: 502."""
    door = listen(Tcp("127.0.0.1", 0))
    with door:
        assert web_server(with_oauth.house, [door]).config.timeout_keep_alive > IDLE_SECONDS

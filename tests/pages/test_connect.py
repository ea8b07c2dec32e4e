"""How to connect: snippets for this very address, without a secret, and what each of them needs."""

from __future__ import annotations

import json
import re
import shlex

import pytest

from app.pages.connect import Snippet, lan_snippets, tunnel_snippets

BASE = "https://brain.example.com"
TUNNEL = tunnel_snippets(BASE)
LAN = lan_snippets("http://127.0.0.1:8084/mcp")


def named(client: str) -> Snippet:
    return next(one for one in TUNNEL if one.client == client)


@pytest.mark.parametrize("snippet", TUNNEL, ids=lambda one: one.client)
def test_each_is_for_the_public_address_and_says_what_it_needs(snippet: Snippet) -> None:
    assert f"{BASE}/mcp" in snippet.text
    assert set(re.findall(r"https?://[^\s\"']+", snippet.text)) == {f"{BASE}/mcp"}
    assert "Managed OAuth" in snippet.needs or "Service Auth" in snippet.needs


def test_what_sends_no_headers_needs_managed_oauth_and_what_does_a_service_token() -> None:
    with_headers = {one.client for one in TUNNEL if "Client-Secret" in one.text}
    assert with_headers == {"any stdio client, with a service token", "a script with a service token"}
    for one in TUNNEL:
        assert ("Managed OAuth" in one.needs) != (one.client in with_headers)


def test_where_the_server_signs_clients_in_itself_nothing_of_access_is_asked_for() -> None:
    own = tunnel_snippets(BASE, oauth=True)
    assert [(one.client, one.text) for one in own] == [
        (one.client, one.text) for one in TUNNEL if "CF-Access" not in one.text
    ]
    assert not [one for one in own if "Access" in one.needs or "Managed OAuth" in one.needs]


def test_a_slash_at_the_end_of_the_address_makes_no_difference() -> None:
    assert tunnel_snippets(f"{BASE}/") == TUNNEL


@pytest.mark.parametrize("snippet", [*TUNNEL, *LAN], ids=lambda one: one.client)
def test_each_can_be_pasted_where_it_belongs(snippet: Snippet) -> None:
    if snippet.where.endswith(".json"):
        json.loads(snippet.text)
    elif snippet.where.endswith(".py"):
        compile(snippet.text, "brain.py", "exec")
    elif snippet.where.startswith("shell"):
        assert "\n" not in snippet.text
        assert shlex.split(snippet.text)[0] in ("claude", "npx")
    else:
        assert snippet.text == f"{BASE}/mcp"


def test_no_secret_is_in_a_snippet_and_the_shell_puts_none_on_the_command_line() -> None:
    command = shlex.split(named("any stdio client, with a service token").text)
    headers = [part for part in command if part.startswith("CF-Access")]
    assert headers == [
        "CF-Access-Client-Id:${CF_ACCESS_CLIENT_ID}",
        "CF-Access-Client-Secret:${CF_ACCESS_CLIENT_SECRET}",
    ]
    assert "'CF-Access-Client-Secret:${" in named("any stdio client, with a service token").text
    assert 'os.environ["CF_ACCESS_CLIENT_SECRET"]' in named("a script with a service token").text

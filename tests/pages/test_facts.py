"""How the facts of the page are put into words."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest

from app.audit.activity import Activity, PastCall
from app.errors import AppError
from app.home import addresses
from app.notes.models import Spaces
from app.pages.facts import (
    FIRST_SENTENCE_MAX,
    Sources,
    ToolText,
    first_sentence,
    gather,
    rule_text,
    spaces_in_words,
)
from app.pages.home import ago
from app.policy.check import Tool
from app.policy.denies import Denies
from app.policy.rules import Policy
from app.principal import LAN, Principal
from app.settings import read
from tests.policy.text import person, policy, rule

from .visitors import LOCAL, PUBLIC

TOOLS = (ToolText(Tool("search", True), "Search", "Finds."), ToolText(Tool("whoami", True), "", ""))


async def unavailable(*_: object) -> Any:
    raise AppError("gone")


async def nothing(*_: object) -> Any:
    return ()


def sources(policy_: Policy, *, ask: Any = nothing, denies: Denies | None = None) -> Sources:
    async def tools() -> Sequence[ToolText]:
        return TOOLS

    def activity() -> Awaitable[Activity]:
        answer: Awaitable[Activity] = ask()
        return answer

    def calls(_: Principal) -> Awaitable[tuple[PastCall, ...]]:
        answer: Awaitable[tuple[PastCall, ...]] = ask()
        return answer

    return Sources(
        policy=lambda: policy_,
        policy_problem=lambda: None,
        denies=lambda: denies or Denies(),
        tools=tools,
        calls=calls,
        activity=activity,
        shut_off=ask,
        audit_healthy=lambda: True,
        key_age=lambda: None,
        addresses={"lan": LOCAL, "tunnel": PUBLIC},
    )


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("Finds notes. Never fails.", "Finds notes."),
        ("Finds notes.", "Finds notes."),
        ("Finds\nnotes\n\nMore.", "Finds notes"),
        ("", ""),
        ("x" * 300, "x" * (FIRST_SENTENCE_MAX - 1) + "…"),
    ],
)
def test_of_a_description_the_first_sentence_is_shown(text: str, first: str) -> None:
    assert first_sentence(text) == first


@pytest.mark.parametrize(
    ("spaces", "words"),
    [
        (Spaces(every=True), "all, everybody's own too"),
        (Spaces(shared=True), "all shared ones"),
        (Spaces(shared=True, names=frozenset({"~eve@example.com"})), "all shared ones and your own"),
        (Spaces(names=frozenset({"a", "b", "~eve@example.com"})), "a, b and your own"),
        (Spaces(), "none"),
    ],
)
def test_spaces_are_told_as_the_visitor_thinks_of_them(spaces: Spaces, words: str) -> None:
    assert spaces_in_words(spaces, person()) == words


def test_a_rule_is_told_in_words() -> None:
    selectors = (
        'emails = ["b@example.com", "a@example.com"]\ndomains = ["example.org"]\ngroups = ["ops"]\n'
        'service_tokens = ["x.access"]\nany_person = true\nspaces = ["main", "~"]\n'
        'limits = [{ tool = "search", arg = "limit", max = 5 }]'
    )
    told = rule_text(policy(rule(f'name = "r"\n{selectors}')).rules[0])
    assert told.whom == (
        "a@example.com",
        "b@example.com",
        "everybody at example.org",
        "the group ops",
        "the service token x.access",
        "every person who can log in",
    )
    assert told.spaces == "main and their own"
    assert told.limits == ("search: limit must be at most 5",)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "less than a minute ago"),
        (60, "1 minute ago"),
        (7300, "2 hours ago"),
        (90_000, "1 day ago"),
    ],
)
def test_ages_are_told_in_one_unit(seconds: float, words: str) -> None:
    assert ago(seconds) == words


async def test_a_database_that_does_not_answer_costs_only_what_it_has() -> None:
    home = await gather(sources(policy(), ask=unavailable), LAN, "id")
    assert (home.calls, home.operator and home.operator.activity) == (None, None)
    assert [tool.name for tool in home.tools] == ["search", "whoami"]


async def test_who_is_no_operator_costs_no_look_at_what_others_did() -> None:
    asked = []

    async def ask(*_: object) -> Any:
        asked.append(1)
        return ()

    home = await gather(sources(policy(), ask=ask), person(), "id")
    assert home.operator is None
    assert len(asked) == 1


async def test_a_tool_that_is_shut_off_is_one_that_is_not_open() -> None:
    home = await gather(sources(policy(), denies=Denies(tools=frozenset({"search"}))), LAN, "id")
    assert ([tool.name for tool in home.tools], home.hidden) == (["whoami"], 1)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8084/mcp"),
        ("::1", "http://[::1]:8084/mcp"),
        ("192.168.1.5", "http://192.168.1.5:8084/mcp"),
    ],
)
def test_the_lan_address_is_the_one_of_the_settings(host: str, url: str) -> None:
    found = addresses(read({"MCP_HOST": host}))
    assert found["lan"].url == url
    assert bool(found["lan"].note) == (host in ("127.0.0.1", "::1"))
    assert "tunnel" not in found


def test_a_door_that_is_open_on_every_address_is_told_by_a_name() -> None:
    settings = read({"MCP_HOST": "0.0.0.0", "LAN_HOSTS": "localhost,brain.lan"})  # noqa: S104
    assert addresses(settings)["lan"].url == "http://brain.lan:8084/mcp"


def test_a_server_that_nobody_looks_at_does_not_load_what_draws_pages() -> None:
    code = "import sys, app.server; sys.exit('jinja2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

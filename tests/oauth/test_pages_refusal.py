"""Every refusal that a browser gets: what happened, what to do, the request id, and no way on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.oauth.views import ErrorView
from app.pages.consent import HtmlPages
from tests.pages.markup import Markup, faults

from .consent_views import ERRORS, UNKNOWN_CLIENT


def read(view: ErrorView) -> Markup:
    return Markup(HtmlPages().error(view).decode())


@pytest.mark.parametrize("name", ERRORS)
def test_G1_it_reads_well_and_says_what_happened_what_to_do_and_the_request(name: str) -> None:
    page = read(ERRORS[name])
    assert faults(page) == []
    assert ERRORS[name].sentence in page.text()
    assert "What to do" in page.text()
    assert ERRORS[name].trace in page.text()
    assert ERRORS[name].code in page.text()


def test_G1_nothing_leads_anywhere() -> None:
    assert read(UNKNOWN_CLIENT).all("a", "form", "button", "input") == []


def test_an_unknown_client_is_to_be_added_again_and_it_says_how_in_each() -> None:
    said = read(UNKNOWN_CLIENT).text()
    assert "Remove this server in the program that sent you here, and add it again" in said
    for client in ("Claude", "ChatGPT", "Claude Code", "Cursor", "VS Code", "mcp-remote"):
        assert client in said


@pytest.mark.parametrize(("seconds", "words"), [(1, "1 second."), (30, "30 seconds."), (121, "3 minutes.")])
def test_it_says_when_to_try_again(seconds: int, words: str) -> None:
    assert f"tried again in {words}" in read(replace(ERRORS["too often"], retry_after=seconds)).text()


def test_who_clicked_twice_is_not_told_that_nothing_was_allowed() -> None:
    page = read(ERRORS["over"])
    assert "that answer counts, also if you only clicked twice" in page.text()
    assert "Nothing was allowed" not in page.text()
    assert [link.attributes["href"] for link in page.all("a")] == ["/"]


def test_an_outage_asks_nobody_to_remove_anything() -> None:
    said = read(ERRORS["away"]).text()
    assert "Nothing was changed. Try again in a few minutes" in said
    assert "Claude Code" not in said


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "</p><a href=https://evil.example>", "\u202ex"]
)
def test_G7_nothing_is_reflected_unescaped(text: str) -> None:
    drawn = HtmlPages().error(replace(UNKNOWN_CLIENT, code=text, sentence=text, trace=text)).decode()
    assert Markup(drawn).shape() == read(UNKNOWN_CLIENT).shape()
    assert "\u202e" not in drawn

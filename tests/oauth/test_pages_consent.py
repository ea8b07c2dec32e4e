"""The question as it is drawn: every fact a person needs, and no way for a stranger's text to change it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.oauth.views import ConsentView
from app.pages import STYLE, STYLE_HASH
from app.pages.consent import HtmlPages
from tests.pages.markup import Markup, faults

from .consent_views import DOCUMENT, KNOWN, LOOPBACK, OPERATORS, REGISTERED, SCHEME, VIEWS

PAGES = HtmlPages()
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "</strong></h1><h1>Your bank</h1>",
    "</form><form action='https://evil.example'>",
    "{{ 7 * 7 }}",
)


def read(view: ConsentView) -> Markup:
    return Markup(PAGES.consent(view).decode())


def hostile(text: str) -> ConsentView:
    """`text` wherever the request or the client could have put it."""
    scopes = tuple(
        replace(
            one,
            name=text,
            description=text,
            tools=tuple(replace(tool, name=text, title=text) for tool in one.tools),
        )
        for one in DOCUMENT.scopes
    )
    return replace(
        DOCUMENT,
        client_name=text,
        client_id=text,
        client_host=text,
        client_uri=text,
        redirect_host=text,
        person=text,
        scopes=scopes,
        withheld=(text,),
        action=text,
        request_id=text,
        trace=text,
    )


@pytest.mark.parametrize("name", VIEWS)
def test_G6_the_page_reads_well_without_script_and_with_a_screen_reader(name: str) -> None:
    assert faults(read(VIEWS[name])) == ["form has action"]


@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        (DOCUMENT, "Claude wants to use your Brain as alice@example.com"),
        (OPERATORS, "Nightly wants to use your Brain as alice@example.com"),
        (REGISTERED, "A program that calls itself “Claude” wants to use your Brain as alice@example.com"),
    ],
)
def test_G6_the_largest_sentence_says_who_wants_what_as_whom(view: ConsentView, sentence: str) -> None:
    assert read(view).one("h1").words() == sentence


def test_G6_a_name_that_nobody_checked_is_marked_as_a_claim() -> None:
    assert "unverified Nobody has checked that name" in read(REGISTERED).text()
    assert "unverified" not in read(DOCUMENT).text() + read(OPERATORS).text()


@pytest.mark.parametrize("name", VIEWS)
def test_G6_redirect_host_scopes_and_their_tools_are_told(name: str) -> None:
    view = VIEWS[name]
    page = read(view)
    shown = next(one for one in page.all("p") if one.attributes.get("class") == "target")
    assert shown.words() == view.redirect_host
    for scope in view.scopes:
        assert scope.description in page.text()
        assert all(f"{tool.title} {tool.name}" in page.text() for tool in scope.tools)


def test_E18_the_host_of_the_client_id_is_told() -> None:
    view = replace(DOCUMENT, client_host="claude.ai.evil.example")
    assert "So says claude.ai.evil.example, and nobody else" in read(view).text()


@pytest.mark.parametrize("view", [LOOPBACK, SCHEME])
def test_E18_any_program_on_ones_own_computer_is_warned_of(view: ConsentView) -> None:
    assert "a program on your own computer, any program" in read(view).text()
    assert "any program that" not in read(DOCUMENT).text()


def test_E18_a_client_that_was_never_allowed_is_warned_of() -> None:
    assert "You have never allowed this client." in read(REGISTERED).text()
    said = read(KNOWN).text()
    assert "never allowed" not in said
    assert "You have allowed this client before. What you never gave it is marked new" in said
    assert [one.words() for one in read(KNOWN).all("label")] == [
        "Read: tools that only read, resources and prompts",
        "Write: all other tools; includes reading new",
        "Delete and restore notes new",
    ]


def test_E22_nothing_is_loaded_and_nothing_links_away() -> None:
    page = read(REGISTERED)
    assert not page.all("img", "link", "script", "iframe", "object", "video", "audio")
    assert [one.attributes["href"] for one in page.all("a")] == ["#main"]
    assert all("src" not in one.attributes for one in page.elements)


def test_G11_the_form_sends_an_opaque_id_ticks_and_a_decision_alone() -> None:
    page = read(REGISTERED)
    form = page.one("form")
    assert (form.attributes["method"], form.attributes["action"]) == ("post", "/consent?request=opaque")
    sent = [
        (one.tag, one.attributes["name"], one.attributes["value"])
        for one in page.all("input", "button", "select", "textarea")
    ]
    assert sent == [
        ("input", "request", "opaque"),
        ("input", "scope", "mcp:tools:read"),
        ("input", "scope", "mcp:tools:write"),
        ("input", "scope", "notes:delete"),
        ("button", "decision", "deny"),
        ("button", "decision", "allow"),
    ]
    assert all(one.inside("form") is form for one in page.all("input", "button"))


def test_G17_each_scope_is_a_ticked_box_with_a_label_in_a_named_group() -> None:
    page = read(REGISTERED)
    boxes = [one for one in page.all("input") if one.attributes["type"] == "checkbox"]
    labels = [one.attributes["for"] for one in page.all("label")]
    assert [box.attributes["id"] for box in boxes] == labels
    assert all("checked" in box.attributes and box.inside("fieldset") for box in boxes)
    assert page.one("legend").words() == "What it may do"


def test_G17_the_enter_key_never_allows() -> None:
    """Browsers press the first button of a form."""
    assert read(REGISTERED).all("button")[0].attributes["value"] == "deny"


def test_G17_what_writing_implies_is_told() -> None:
    assert "It is given with mcp:tools:write too: to withhold it, untick both." in read(REGISTERED).text()
    assert "untick both" not in read(LOOPBACK).text()


def test_G15_what_the_person_does_not_have_is_named() -> None:
    said = read(REGISTERED).text()
    assert "notes:share, brain:admin: not available to you, so it does not get them." in said
    assert "not available" not in read(DOCUMENT).text()


def test_G13_it_says_until_when_it_can_be_answered() -> None:
    said = read(REGISTERED).text()
    assert "The question waits 10 minutes, until 08:10 UTC." in said


@pytest.mark.parametrize("text", HOSTILE)
def test_G7_no_text_from_outside_changes_how_the_page_is_built(text: str) -> None:
    drawn = PAGES.consent(hostile(text)).decode()
    page = Markup(drawn)
    assert page.problems == []
    assert page.shape() == read(hostile("x")).shape()
    assert text in page.one("h1").words()


def test_G7_directions_and_other_unseen_characters_are_written_out() -> None:
    drawn = PAGES.consent(hostile("a\u202egnp.exe\u200b\x00")).decode()
    assert "a[U+202E]gnp.exe[U+200B][U+0000]" in drawn
    assert not {"\u202e", "\u200b", "\x00"} & set(drawn)


@pytest.mark.parametrize("text", ["W" * 10_000, "a b\n" * 2500])
def test_G7_a_name_of_10_kB_leaves_the_facts_in_sight(text: str) -> None:
    page = read(replace(REGISTERED, client_name=text, client_uri=text, client_id=text))
    assert len(page.one("h1").words()) < 180
    assert len(page.text()) < 3500
    assert "claude.ai" in page.text()


def test_G7_a_client_without_a_name_is_called_by_its_redirect_host() -> None:
    assert "“claude.ai”" in read(replace(REGISTERED, client_name=" \n ")).one("h1").words()


@pytest.mark.parametrize(
    ("sources", "allowed"),
    [
        (["https://claude.ai"], " https:"),
        (["https://claude.ai", "https://acme.cloudflareaccess.com"], " https:"),
        (
            ["http://127.0.0.1:53682", "https://acme.cloudflareaccess.com"],
            " http://127.0.0.1:53682 https:",
        ),
        (["http://[::1]:53682"], " http:"),
        (["cursor:"], " cursor:"),
        (["https://vscode.dev"], " https: vscode: http://127.0.0.1:*"),
        ([], ""),
    ],
)
def test_G8_the_policy_lets_the_answer_through_and_nothing_else(sources: list[str], allowed: str) -> None:
    headers = PAGES.headers(sources, forms=True)
    assert headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action 'self'{allowed}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def test_G8_no_frame_no_cache_no_guessing_and_no_address_for_others() -> None:
    headers = PAGES.headers([], forms=True)
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    # Not no-referrer: then browsers send `Origin: null` with the form, and G10 could not be held.
    assert headers["referrer-policy"] == "same-origin"
    assert PAGES.headers([], forms=False)["referrer-policy"] == "no-referrer"


def test_G8_the_only_style_is_the_one_that_the_policy_names() -> None:
    drawn = PAGES.consent(REGISTERED).decode()
    assert drawn.count("<style>") == 1
    assert f"<style>{STYLE}</style>" in drawn
    assert all("style" not in one.attributes for one in read(REGISTERED).elements)

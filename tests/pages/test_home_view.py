"""The page at `/` as it is drawn: what it says, how it is built, and that no text can change that."""

from __future__ import annotations

import json
import os
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from app.pages import STYLE, render
from app.pages.home import Home, as_json, html

from .markup import Markup, faults
from .visitors import ALL, CONSENTED, EMPTY, ON_THE_LAN, OPERATOR, PERSON, QUIET, SERVICE, STRANGER

GOLDEN = Path(__file__).parent / "golden" / "person.html"
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</pre></code></td></table><b>",
    "<!-- ",
    "]]>",
    "&lt;b&gt;",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
)
UNSEEN = {
    "a\u202egnp.exe": "a[U+202E]gnp.exe",
    "a\u2066b\u2069": "a[U+2066]b[U+2069]",
    "a\u200bb": "a[U+200B]b",
    "a\x00\x07\x1b[31m": "a[U+0000][U+0007][U+001B][31m",
    "half \ud800 pair": "half [U+D800] pair",
}
# Words of ours, by which the page decides what to say; they never come from outside.
OURS = {"kind", "door", "decision", "operation"}


def read(home: Home) -> Markup:
    return Markup(html(home))


def with_text(value: Any, text: str) -> Any:
    """`value` with `text` for every text in it that may come from outside."""
    if isinstance(value, str):
        return text
    if isinstance(value, tuple):
        return tuple(with_text(one, text) for one in value)
    if isinstance(value, frozenset):
        return frozenset(with_text(one, text) for one in value)
    if is_dataclass(value) and not isinstance(value, type):
        changed = {
            f.name: with_text(getattr(value, f.name), text) for f in fields(value) if f.name not in OURS
        }
        return replace(value, **changed)
    return value


@pytest.mark.parametrize("name", ALL)
def test_every_page_reads_well_without_script_and_with_a_screen_reader(name: str) -> None:
    assert faults(read(ALL[name])) == []


def test_the_page_of_a_person_is_as_it_was_looked_at() -> None:
    """`GOLDEN=1 pytest` writes it anew; then look at it in a browser."""
    text = html(PERSON).replace(STYLE, "…")
    if os.environ.get("GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


@pytest.mark.parametrize(
    ("home", "sentence"),
    [
        (PERSON, "You are alice@example.com"),
        (SERVICE, "You are the service token nightly.access"),
        (ON_THE_LAN, "You are on the LAN, no login"),
    ],
)
def test_the_largest_sentence_says_who_you_are(home: Home, sentence: str) -> None:
    assert read(home).one("h1").words() == sentence


def test_a_person_is_told_rule_reason_scopes_tools_limits_spaces_and_how_many_are_closed() -> None:
    said = read(PERSON).text()
    for fact in (
        "The rule family names you: your e-mail is alice@example.com",
        "Read: tools that only read, resources and prompts mcp:tools:read",
        "Search notes search",
        "Finds notes.",
        "Limits: limit must be at most 20.",
        "Create a note create_note changes",
        "Spaces of notes: main and your own.",
        "2 more tools are not open to you.",
    ):
        assert fact in said


def test_spaces_that_differ_are_told_with_each_tool() -> None:
    first, *others = PERSON.tools
    said = read(replace(PERSON, tools=(replace(first, spaces="public"), *others))).text()
    assert "Limits: limit must be at most 20. Spaces: public." in said
    assert "Spaces of notes" not in said


def test_recent_calls_have_time_name_outcome_and_request() -> None:
    rows = [row.words() for row in read(PERSON).all("tr")]
    assert rows[1:] == [
        "15 Jan 2027 08:00:00 0123456789abcdef search done",
        "15 Jan 2027 08:00:00 0123456789abcdef create_note failed (409)",
        "15 Jan 2027 08:00:00 0123456789abcdef delete_note denied",
        "15 Jan 2027 08:00:00 0123456789abcdef search cancelled",
    ]


def test_a_visitor_is_never_told_why_a_call_was_denied() -> None:
    """It may tell of a tool that is hidden from them; the denial itself said what may be said."""
    assert "because" not in html(PERSON)
    assert "because" not in json.dumps(as_json(PERSON))


def test_a_client_that_was_given_less_is_named_with_what_it_has() -> None:
    said = read(CONSENTED).text()
    assert "You act through the client Some client." in said
    assert "Your client was given a part of that: mcp:tools:read." in said


def test_a_stranger_is_told_kindly_what_to_send_to_whom() -> None:
    page = read(STRANGER)
    assert "You are known, and welcome to ask: no rule of this server names you yet" in page.text()
    sent = next(one for one in page.all("pre") if "operator" in str(one.attributes["aria-label"]))
    assert sent.text == (
        "May I use https://brain.example.com/mcp?\n"
        "I am eve@elsewhere.example.\n"
        "Access says that I am in: guests."
    )


@pytest.mark.parametrize("name", ["person", "lan"])
def test_each_client_has_its_snippet_as_it_is_to_be_copied(name: str) -> None:
    home = ALL[name]
    copied = {one.text for one in read(home).all("pre") if "copy" in str(one.attributes.get("class"))}
    assert {home.address.url, *(one.text for one in home.address.snippets)} <= copied


def test_an_operator_sees_people_hours_denials_denies_policy_cases_and_health() -> None:
    said = read(OPERATOR).text()
    for fact in (
        "The newest policy file is not in force.",
        "- not TOML",
        "The audit log cannot be written.",
        "1 of 3 fail",
        "of Access, fetched 1 hour ago",
        "nightly.access service",
        "only what came since 14 Jan 2027 08:00:00 UTC is counted",
        "bob@example.com delete_note because",
        "tunnel GET /mcp because",
        "mallory@example.com 15 Jan 2027 08:00:00 root",
        "The LAN gets *: everything, and this part of the page.",
        "Whom alice@example.com",
        "Limits search: limit …",
        "FAIL allow eve@example.com search: is deny because no rule",
    ):
        assert fact in said


def test_the_hours_are_a_table_with_a_bar_that_nobody_needs() -> None:
    page = read(OPERATOR)
    caption = next(one for one in page.all("caption") if one.attributes["id"] == "hours-caption")
    table = caption.inside("table")
    rows = [one for one in page.all("tr") if one.inside("table") is table]
    assert len(rows) == 25
    assert rows[5].words() == "04:00 4 0 0"
    widths = [one.attributes["width"] for one in page.all("rect")]
    assert widths[:5] == ["0.0%", "25.0%", "50.0%", "75.0%", "100.0%"]


def test_without_a_database_the_rest_is_still_told() -> None:
    said = read(QUIET).text()
    assert "They cannot be read at the moment." in said
    assert "What happened cannot be read from the database at the moment." in said
    assert "what was shut off stays shut off" in said
    assert "Search notes search" in said


def test_where_there_is_nothing_it_says_so() -> None:
    said = read(EMPTY).text()
    for fact in ("No tool.", "None yet.", "Nobody in the last 7 days.", "Nobody and nothing.", "all 2 hold"):
        assert fact in said


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("text", [*HOSTILE, *UNSEEN])
def test_no_text_from_outside_changes_how_the_page_is_built(name: str, text: str) -> None:
    drawn = html(with_text(ALL[name], text))
    page = Markup(drawn)
    assert page.shape() == read(with_text(ALL[name], "x")).shape()
    assert page.problems == []
    assert UNSEEN.get(text, text).split()[0] in page.text()
    drawn.encode()


@pytest.mark.parametrize("text", UNSEEN)
def test_what_cannot_be_seen_is_written_out(text: str) -> None:
    drawn = html(with_text(OPERATOR, text))
    assert text not in drawn
    assert UNSEEN[text].replace("'", "&#39;") in drawn


def test_our_other_pages_write_it_out_too() -> None:
    assert "a[U+202E]b" in render("error.html", title="x", headline="a\u202eb")


def test_the_json_has_the_same_facts_and_the_operators_part_only_for_operators() -> None:
    told = as_json(PERSON)
    assert "operator" not in told
    assert told["principal"] == "alice@example.com"
    assert told["rules"] == [
        {"name": "family", "reason": "e-mail is alice@example.com", "scopes": ["mcp:tools:read"]}
    ]
    assert [(tool["name"], tool["limits"], tool["spaces"]) for tool in told["tools"]] == [
        ("search", ("limit must be at most 20",), "main and your own"),
        ("create_note", (), "main and your own"),
        ("whoami", (), ""),
    ]
    assert told["hidden_tools"] == 2
    assert told["calls"][1] == {
        "ts": "2027-01-15T08:00:00Z",
        "operation": "tools/call",
        "name": "create_note",
        "outcome": "failed (409)",
        "request_id": "0123456789abcdef",
    }
    told = as_json(OPERATOR)["operator"]
    assert set(told) == {"policy", "activity", "shut_off", "audit_healthy", "signing_keys_age"}
    assert told["activity"]["denials"][0]["reason"] == "because"
    json.dumps(told)

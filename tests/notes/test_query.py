"""The search grammar, alone and against a real FTS5 table."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.notes.query import TERMS_MAX, Query, Term, any_of, fts_match, parse

# Pieces that mean something to us or to FTS5, so that the fuzzer does not have to find them.
PIECES = st.sampled_from(
    [
        '"',
        "*",
        "-",
        "(",
        ")",
        ":",
        "^",
        "+",
        "{",
        "}",
        " ",
        "\t",
        "AND",
        "OR",
        "NOT",
        "NEAR",
        "NEAR(a b, 2)",
        "title:",
        "tag:",
        "tag:x",
        "-tag:x",
        "a*",
        '-"',
        '"a b"*',
        "--a",
        "é",
        "日本",
        "🎉",
        "\x00",
        chr(0xD800),
        "'",
        "“",
    ]
)
QUERIES = st.one_of(
    st.text(max_size=60), st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=25).map("".join)
)


@pytest.fixture(scope="module")
def index() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.execute(
        "CREATE VIRTUAL TABLE f USING fts5(title, text, tokenize='unicode61 remove_diacritics 2')"
    )
    connection.execute("INSERT INTO f VALUES ('Ünïcode', 'the quick brown fox-trot AND the lazy dog')")
    connection.execute("INSERT INTO f VALUES ('Second', 'quick as a fox')")
    yield connection
    connection.close()


def found(index: sqlite3.Connection, query: str) -> list[int]:
    expression = fts_match(parse(query))
    return [key for (key,) in index.execute("SELECT rowid FROM f WHERE f MATCH ? ORDER BY 1", (expression,))]


@given(QUERIES)
def test_no_query_is_ever_a_syntax_error(index: sqlite3.Connection, text: str) -> None:
    query = parse(text)
    if query.wanted:
        index.execute("SELECT rowid, rank FROM f WHERE f MATCH ?", (fts_match(query),)).fetchall()
    if query.unwanted:
        index.execute("SELECT rowid FROM f WHERE f MATCH ?", (any_of(query.unwanted),)).fetchall()


@given(st.lists(st.from_regex(r"\A[a-z]{1,5}\Z"), min_size=1, max_size=5))
def test_plain_words_all_have_to_occur(index: sqlite3.Connection, words: list[str]) -> None:
    texts = {1: "unicode the quick brown fox trot and the lazy dog", 2: "second quick as a fox"}
    expected = [key for key, text in texts.items() if set(words) <= set(text.split())]
    assert found(index, " ".join(words)) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("quick fox", [1, 2]),
        ("QUICK", [1, 2]),
        ("unicode", [1]),
        ('"quick brown"', [1]),
        ('"quick fox"', []),
        ("quick -lazy", [2]),
        ('quick -"brown fox"', [2]),
        ("bro*", [1]),
        ('"quick bro"*', [1]),
        ("fox-trot", [1]),
        ("fox AND", [1]),  # AND is a word
        ('"quick brown', [1]),  # a phrase that does not end
        ("quick ??? !!!", [1, 2]),
        ("dog's", []),
    ],
)
def test_words_phrases_not_and_prefixes(index: sqlite3.Connection, query: str, expected: list[int]) -> None:
    assert found(index, query) == expected


def test_tags_are_taken_out_of_the_query() -> None:
    assert parse("plan tag:Work tag:#Home") == Query((Term("plan"),), (), ("work", "home"))


@pytest.mark.parametrize("text", ["", "  ", "*", '""', '"', "-", " - * "])
def test_a_blank_query_fits_every_note(text: str) -> None:
    assert parse(text) == Query()


@pytest.mark.parametrize("text", ["???", "🎉", "(:)", "-!"])
def test_a_query_of_signs_alone_fits_none(text: str) -> None:
    assert parse(text).hopeless


def test_a_query_is_read_up_to_a_bound() -> None:
    assert len(parse(" ".join(f"w{n}" for n in range(500))).wanted) == TERMS_MAX

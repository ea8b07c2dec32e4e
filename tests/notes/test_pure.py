"""Ids, cursors, links, names and paths."""

from __future__ import annotations

import uuid
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.notes.cursor import decode_cursor, encode_cursor
from app.notes.files import file_path, is_safe_path
from app.notes.ids import canonical, uuid7
from app.notes.links import LINKS_MAX, link_targets
from app.notes.models import Caller, NoteInvalid, SpaceClosed, Spaces
from app.notes.valid import full_space, open_space, valid_tags, valid_text, valid_title

ALICE = Caller("alice@example.com", "~alice@example.com", Spaces(names=frozenset({"main", "~"})))
LAN = Caller("lan", None, Spaces(every=True))


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_an_id_is_a_uuid_of_version_7_that_holds_its_time(now_ms: int, noise: bytes) -> None:
    value = uuid.UUID(uuid7(now_ms, noise))
    assert (value.version, value.variant, value.int >> 80) == (7, uuid.RFC_4122, now_ms)


def test_ids_sort_by_time() -> None:
    ids = [
        uuid7(ms, b"\xff" * 10 if ms % 2 else b"\0" * 10)
        for ms in range(1_700_000_000_000, 1_700_000_000_100)
    ]
    assert all(one < two for one, two in pairwise(ids))


def test_an_id_is_recognised_in_the_forms_that_models_write() -> None:
    plain = uuid7(1, b"0123456789")
    assert canonical(f" note://{plain.upper()} ") == plain
    assert canonical("12") is None


@given(st.text(max_size=20), st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**62), 2**62))
def test_a_cursor_brings_back_its_position_exactly(query: str, score: float, key: int) -> None:
    assert decode_cursor(encode_cursor((query,), score, key), (query,), float, int) == [score, key]


@given(st.text(max_size=80))
def test_any_other_text_is_not_a_cursor(text: str) -> None:
    with pytest.raises(NoteInvalid, match="Start again without a cursor"):
        decode_cursor(text, ("query",), int)


def test_a_cursor_of_another_query_or_kind_is_refused() -> None:
    cursor = encode_cursor(("one", None), 1)
    for query, kind in ((("two", None), int), (("one", None), str)):
        with pytest.raises(NoteInvalid):
            decode_cursor(cursor, query, kind)


@pytest.mark.parametrize(
    ("text", "targets"),
    [
        ("see [[One]] and [[Two|label]] and [[Three#part]] and [[one]]", ("one", "two", "three")),
        ("`[[code]]` ``a ` [[code]]`` [[text]]", ("text",)),
        ("```\n[[code]]\n```\n[[text]]\n~~~ x\n[[code]]\n~~~\n", ("text",)),
        ("````\n```\n[[code]]\n````\n[[text]]", ("text",)),
        ("a ` alone [[text]]", ("text",)),
        ("[[]] [[ ]] [[#part]] [[a\nb]] [x]", ()),
        ("[[[Odd]]]", ("odd",)),
    ],
)
def test_links_are_found_in_text_but_not_in_code(text: str, targets: tuple[str, ...]) -> None:
    assert link_targets(text) == targets


@given(st.text("[]`~|# \nab", max_size=300))
def test_links_are_found_or_not_but_never_fail(text: str) -> None:
    assert all(link_targets(text))


def test_links_are_bounded() -> None:
    assert len(link_targets("".join(f"[[{n}]]" for n in range(5000)))) == LINKS_MAX


@pytest.mark.parametrize("title", ["", " ", "x" * 201, "a\nb", "a\0b", "\ud800", "a\u2028b"])
def test_a_bad_title_is_refused(title: str) -> None:
    with pytest.raises(NoteInvalid, match=r"\.$"):
        valid_title(title)


def test_text_is_measured_in_bytes() -> None:
    assert valid_text("é" * (512 * 1024))
    with pytest.raises(NoteInvalid, match="1 MiB"):
        valid_text("é" * (512 * 1024) + "x")


def test_tags_lose_the_sign_and_their_doubles() -> None:
    assert valid_tags([" #Work", "work", "Straße", "STRASSE"]) == ("Work", "Straße")
    with pytest.raises(NoteInvalid, match="at most 50"):
        valid_tags([str(n) for n in range(51)])


def test_a_tilde_is_the_own_space() -> None:
    assert open_space(ALICE, "~") == "~alice@example.com"
    with pytest.raises(NoteInvalid, match="no space of your own"):
        full_space(LAN, "~")


@pytest.mark.parametrize("space", ["other", "~bob@example.com"])
def test_a_closed_space_and_an_unknown_one_are_refused_in_the_same_words(space: str) -> None:
    with pytest.raises(SpaceClosed, match=r"^This space is not open to you\."):
        open_space(ALICE, space)


@pytest.mark.parametrize("space", ["", "a b", "../x", "-x", "x" * 65, "a/b", "~a/b", "~~", "a\0"])
def test_a_bad_name_of_a_space_is_refused(space: str) -> None:
    with pytest.raises(NoteInvalid):
        open_space(LAN, space)


@given(st.text(max_size=250), st.text(max_size=30))
def test_an_exported_file_stays_below_its_folder_whatever_the_title(title: str, space: str) -> None:
    path = file_path(space, title.encode(errors="replace").decode(), taken=set())
    assert is_safe_path(path)
    assert path.count("/") == 1
    assert all(len(part.encode()) <= 255 for part in path.split("/"))


def test_two_notes_never_share_a_file() -> None:
    taken: set[str] = set()
    paths = [file_path("main", title, taken=taken) for title in ("A", "a", "A")]
    assert paths == ["main/A.md", "main/a 2.md", "main/A 3.md"]


@pytest.mark.parametrize(
    "path", ["../x.md", "/x.md", "a/../../x.md", "C:x.md", "a\\..\\x.md", "x.sh", "", "a\0.md"]
)
def test_a_source_path_that_leads_out_of_the_folder_is_not_used(path: str) -> None:
    assert not is_safe_path(path)
    assert file_path("main", "T", taken=set(), source=path) == "main/T.md"

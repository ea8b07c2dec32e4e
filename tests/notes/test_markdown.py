"""Markdown files: what is read from them, and that they come back byte for byte."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.notes.markdown import BOM, read_markdown, write_markdown
from app.notes.models import TEXT_MAX_BYTES, NoteInvalid

OWN = Path(__file__).parent / "samples"

LINES = st.sampled_from(
    [
        "---",
        "...",
        "title: A title",
        "title: [x]",
        "tags: [a, b]",
        "tags: a, b",
        "tags:",
        "  - c",
        "- d",
        "# Head",
        "```",
        "key: &a x",
        "other: *a",
        "{",
        "}",
        "[",
        "]",
        ": ",
        "- - -",
        "? x",
        "! tag",
        "%YAML 1.1",
        "'",
        "\t",
        "",
        "title: B",
        "date: 2024-99-99",
        "n: 0o7",
        "<<: *a",
        "text",
        "\x00",
        "\x85",
        "\u2028",
        "é",
        "--- x",
    ]
)
FILES = st.one_of(
    st.binary(max_size=200),
    st.builds(
        lambda lines, end, mark: (BOM if mark else b"") + end.join(["---", *lines]).encode(),
        st.lists(st.one_of(LINES, st.text(max_size=10)), max_size=15),
        st.sampled_from(["\n", "\r\n"]),
        st.booleans(),
    ).filter(lambda data: data is not None),
)


@given(FILES)
def test_any_bytes_are_read_or_refused_in_words_and_come_back_equal(data: bytes) -> None:
    try:
        file = read_markdown(data, "folder/name.md")
    except NoteInvalid:
        return
    assert file.prefix + file.text.encode() == data
    assert write_markdown(file.title, file.text, file.tags, prefix=file.prefix, path="folder/name.md") == data


@given(
    FILES,
    st.text("abc: #'\"[]{}-é日\\", min_size=1, max_size=20).map(str.strip).filter(bool),
    st.lists(
        st.text("abc-é日 '", min_size=1, max_size=8).map(str.strip).filter(bool), max_size=3, unique=True
    ),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
)
def test_a_changed_note_is_written_so_that_it_reads_back_the_same(
    data: bytes, title: str, tags: list[str], text: str
) -> None:
    try:
        prefix = read_markdown(data, "n.md").prefix
    except NoteInvalid:
        prefix = b""
    file = read_markdown(write_markdown(title, text, tuple(tags), prefix=prefix, path="n.md"), "n.md")
    assert (file.title, file.text, file.tags) == (title, text, tuple(tags))


@pytest.mark.parametrize("path", sorted(OWN.rglob("*.md*")), ids=lambda path: path.name)
def test_the_sample_files_come_back_equal(path: Path) -> None:
    data = path.read_bytes()
    file = read_markdown(data, path.name)
    assert write_markdown(file.title, file.text, file.tags, prefix=file.prefix, path=path.name) == data


def test_the_title_is_that_of_the_front_matter_then_the_heading_then_the_file() -> None:
    assert read_markdown(b"---\ntitle: Front\n---\n# Head\n", "file.md").title == "Front"
    assert read_markdown(b"```\n# comment\n```\n# Head #\n", "file.md").title == "Head"
    assert read_markdown(b"no heading", "folder/file.name.md").title == "file.name"


@pytest.mark.parametrize(
    ("yaml", "tags"),
    [
        ("tags: [a, '#B', a]", ("a", "B")),
        ("tags: a, b", ("a", "b")),
        ("tags:\n- a\n- b", ("a", "b")),
        ("tags:", ()),
    ],
)
def test_tags_are_read_from_every_usual_form(yaml: str, tags: tuple[str, ...]) -> None:
    assert read_markdown(f"---\n{yaml}\n---\n".encode(), "n.md").tags == tags


def test_a_changed_title_leaves_comments_and_unknown_keys_as_they_are() -> None:
    data = b"---\n# mine\ntitle: Old\ndate: 2024-01-01 # day\ntags:\n  - a\n\nx: |\n  y\n---\ntext\n"
    file = read_markdown(data, "n.md")
    written = write_markdown("New: one", file.text, ("a", "b"), prefix=file.prefix, path="n.md")
    expected = b"---\n# mine\ntitle: 'New: one'\ndate: 2024-01-01 # day\ntags: [a, b]\nx: |\n  y\n---\ntext\n"
    assert written == expected


def test_windows_line_ends_stay_when_the_title_changes() -> None:
    file = read_markdown(BOM + b"---\r\ntitle: Old\r\nk: v\r\n---\r\ntext\r\n", "n.md")
    written = write_markdown("New", file.text, (), prefix=file.prefix, path="n.md")
    assert written == BOM + b"---\r\ntitle: New\r\nk: v\r\n---\r\ntext\r\n"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"---\ntitle: [\n---\n", "not valid YAML in line"),
        (b"---\na: &a [b]\nc: *a\n---\n", "alias"),
        (b"---\na: 1\na: 2\n---\n", "twice"),
        (b"---\n- a\n---\n", "key: value"),
        (b"---\ntags: {a: b}\n---\n", "tags"),
        (b"---\na: " + b"[" * 500 + b"\n---\n", "nested too deeply"),
        (b"---\ntitle: " + b"x" * 201 + b"\n---\n", "at most 200"),
        (b"x" * (TEXT_MAX_BYTES + 1), "1 MiB"),
        (b"a\0b", "NUL"),
    ],
    ids=["not utf-8", "broken", "alias", "duplicate", "list", "tags", "deep", "long title", "long", "nul"],
)
def test_a_broken_file_is_refused_with_what_is_wrong(data: bytes, words: str) -> None:
    with pytest.raises(NoteInvalid, match=words):
        read_markdown(data, "n.md")


def test_a_line_at_the_start_that_opens_no_front_matter_is_text() -> None:
    for data in (b"---\nnever closed\n", b"---\n\nA paragraph.\n\n---\n"):
        assert read_markdown(data, "n.md").text.encode() == data

"""Markdown files with front matter, read into notes and written back byte for byte.

A file is a raw prefix (byte order mark and front matter) and the text of the note. Only `title` and `tags`
of the front matter are read; all its other keys stay as they are written.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from app.notes.frontmatter import Fields, edit_front_matter, new_front_matter, read_front_matter
from app.notes.links import without_fences
from app.notes.models import TEXT_MAX_BYTES, TITLE_MAX, NoteInvalid
from app.notes.valid import valid_tags, valid_text, valid_title

BOM = b"\xef\xbb\xbf"
FRONT_MATTER_MAX = 64 * 1024
FILE_MAX = TEXT_MAX_BYTES + FRONT_MATTER_MAX + len(BOM)
_FRONT = re.compile(rb"---[ \t]*\r?\n(?P<yaml>(?:.*\n)*?)(?:---|\.\.\.)[ \t]*(?:\r?\n|$)")
_HEADING = re.compile(r"^ {0,3}#[ \t]+(?P<title>.*?)(?:[ \t]+#+)?[ \t]*\r?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MarkdownFile:
    """`prefix` + `text` in UTF-8 are the bytes of the file."""

    title: str
    text: str
    tags: tuple[str, ...]
    prefix: bytes


def read_markdown(data: bytes, path: str) -> MarkdownFile:
    """Raises NoteInvalid, and nothing else, for whatever the bytes are."""
    if len(data) > FILE_MAX:
        raise NoteInvalid(f"The file has {len(data)} bytes. Split it: a note holds {TEXT_MAX_BYTES} (1 MiB).")
    prefix, fields = _front(data)
    text = valid_text(_decoded(data[len(prefix) :], at=len(prefix)))
    title = valid_title(fields.title) if fields.title else _title_from(text, path)
    return MarkdownFile(title, text, valid_tags(fields.tags or ()), prefix)


def write_markdown(title: str, text: str, tags: tuple[str, ...], *, prefix: bytes, path: str) -> bytes:
    """The file for a note that once had this prefix: the same bytes if nothing changed."""
    body = text.encode()
    if _says(prefix + body, path, title, text, tags):
        return prefix + body
    newline = "\r\n" if b"\r\n" in (prefix or body[:4096]) else "\n"
    mark = BOM if prefix.startswith(BOM) else b""
    fields = Fields(title, tags)
    edited = edit_front_matter(_yaml(prefix), fields, newline=newline)
    if edited is not None:
        closed = prefix.removeprefix(mark)
        match = _FRONT.match(closed)
        assert match is not None  # noqa: S101  there is no YAML to edit without it
        start, end = match.span("yaml")
        data = mark + closed[:start] + edited.encode() + closed[end:] + body
        if _says(data, path, title, text, tags):
            return data
    return mark + new_front_matter(_yaml(prefix), fields, newline=newline).encode() + body


def _says(data: bytes, path: str, title: str, text: str, tags: tuple[str, ...]) -> bool:
    try:
        file = read_markdown(data, path)
    except NoteInvalid:
        return False
    return (file.title, file.text, file.tags) == (title, text, tags)


def _front(data: bytes) -> tuple[bytes, Fields]:
    mark = BOM if data.startswith(BOM) else b""
    match = _match(data, len(mark))
    if match is None:
        return mark, Fields(None, None)
    fields = read_front_matter(_decoded(match["yaml"], at=match.start("yaml")))
    if fields is None:  # a paragraph between two lines, not front matter
        return mark, Fields(None, None)
    return data[: match.end()], fields


def _match(data: bytes, start: int) -> re.Match[bytes] | None:
    if not data.startswith(b"---", start):
        return None
    match = _FRONT.match(data, start, start + FRONT_MATTER_MAX)
    # `$` also matches where the search was cut off.
    return match if match and (match.end() < start + FRONT_MATTER_MAX or match.end() == len(data)) else None


def _yaml(prefix: bytes) -> str:
    match = _match(prefix, len(BOM) if prefix.startswith(BOM) else 0)
    return match["yaml"].decode() if match else ""


def _decoded(data: bytes, *, at: int) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise NoteInvalid(
            f"The file is not UTF-8 (byte {at + error.start + 1}). Save it as UTF-8 and import it again."
        ) from None


def _title_from(text: str, path: str) -> str:
    """The first heading of the first level, else the name of the file."""
    match = _HEADING.search(text)
    if match and ("```" in text[: match.start()] or "~~~" in text[: match.start()]):
        match = _HEADING.search(without_fences(text))  # what looked like a heading may be a comment in code
    for candidate in (match["title"] if match else "", PurePosixPath(path).stem):
        try:
            return valid_title(" ".join(candidate.split())[:TITLE_MAX])
        except NoteInvalid:
            continue
    return "Untitled"

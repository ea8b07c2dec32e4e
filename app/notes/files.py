"""Notes as files: what to do with a file that may have been imported before, and what to call a new one."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

Outcome = Literal["added", "updated", "unchanged", "conflict", "skipped"]
SUFFIXES = (".md", ".mdx", ".markdown")
NAME_MAX_BYTES = 200
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)  # names that Windows keeps for itself


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of the file that a note came from or went to.

    `version` is the note's version when file and note were last the same, `note_version` the one of now.
    """

    space: str
    path: str
    note_key: int
    note_version: int
    version: int
    sha256: str
    exported: str | None
    prefix: bytes

    def knows(self, sha256: str) -> bool:
        """Whether the file is as it was imported or exported, so nothing would be lost with it."""
        return sha256 in (self.sha256, self.exported)


def decide_import(source: Source | None, sha256: str, *, force: bool) -> Outcome:
    """A changed file replaces an unchanged note; `force` lets it replace a changed one."""
    if source is None:
        return "added"
    if source.knows(sha256):
        return "unchanged"
    return "updated" if force or source.note_version == source.version else "conflict"


def decide_export(source: Source | None, ours: str, theirs: str | None, *, force: bool) -> Outcome:
    """From the SHA-256 of what would be written and of the file that is there (None: no file)."""
    if theirs is None:
        return "added"
    if theirs == ours:
        return "unchanged"
    return "updated" if force or (source is not None and source.knows(theirs)) else "conflict"


def file_path(space: str, title: str, *, taken: set[str], source: str | None = None) -> str:
    """A relative path that no note of this export has yet (`taken`: folded), safe on every system.

    The path of the source where there is one, else `space/title.md`.
    """
    wanted = source if source is not None and is_safe_path(source) else f"{_name(space)}/{_name(title)}.md"
    path = PurePosixPath(wanted)
    candidate, number = path, 1
    while str(candidate).casefold() in taken:
        number += 1
        candidate = path.with_name(f"{path.stem} {number}{path.suffix}")
    taken.add(str(candidate).casefold())
    return str(candidate)


def is_safe_path(path: str) -> bool:
    """Whether the path stays below the folder that it is joined to, and names a Markdown file."""
    parts = PurePosixPath(path).parts
    plain = "\\" not in path and "\0" not in path and not re.match(r"[A-Za-z]:", path)
    return plain and bool(parts) and parts[0] != "/" and ".." not in parts and path.lower().endswith(SUFFIXES)


def _name(text: str) -> str:
    text = unicodedata.normalize("NFC", text)
    text = re.sub(r'[\x00-\x1f\x7f/\\:*?"<>|]+', "-", text).strip(" .-")
    text = text.encode()[:NAME_MAX_BYTES].decode(errors="ignore").rstrip(" .")
    return f"{text}-" if _RESERVED.fullmatch(text) else text or "note"

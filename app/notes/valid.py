"""What a note may look like.

Each function returns the value to keep, or raises NoteInvalid with what to do.
"""

from __future__ import annotations

import re
import unicodedata

from app.notes.models import (
    SPACE_MAX,
    TAG_MAX,
    TAGS_MAX,
    TEXT_MAX_BYTES,
    TITLE_MAX,
    Caller,
    NoteInvalid,
    SpaceClosed,
)

OWN = "~"
SHARED_SPACE_MAX = 64
_SHARED_SPACE = re.compile(r"[^\W_][\w.-]*")
_OWN_SPACE = re.compile(r"~[^\s~/\\][^\s/\\]*")


def valid_title(title: str) -> str:
    title = unicodedata.normalize("NFC", _encodable(title, "The title")).strip()
    if not title:
        raise NoteInvalid("The title is empty. Give the note a title of 1 to 200 characters.")
    if len(title) > TITLE_MAX:
        raise NoteInvalid(f"The title has {len(title)} characters. Shorten it to at most {TITLE_MAX}.")
    if any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in title):
        raise NoteInvalid("The title contains a line break or a control character. Write it on one line.")
    return title


def valid_text(text: str) -> str:
    size = len(encoded(text))
    if size > TEXT_MAX_BYTES:
        raise too_long(size)
    return text


def too_long(size: int) -> NoteInvalid:
    return NoteInvalid(
        f"The text would have {size} bytes; a note holds at most {TEXT_MAX_BYTES} (1 MiB). "
        "Split it into several notes and link them with [[Title]]."
    )


def encoded(text: str) -> bytes:
    """The text in UTF-8. Refuses what no file and no database keeps: NUL and lone surrogates."""
    return _encodable(text, "The text").encode()


def valid_tags(tags: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """The tags in their first spelling, each once; `#Work` and `work` are the same tag."""
    kept: dict[str, str] = {}
    for tag in tags:
        tag = valid_tag(tag)
        kept.setdefault(folded(tag), tag)
    if len(kept) > TAGS_MAX:
        raise NoteInvalid(f"The note has {len(kept)} tags. Keep at most {TAGS_MAX}.")
    return tuple(kept.values())


def valid_tag(tag: str) -> str:
    tag = unicodedata.normalize("NFC", _encodable(tag, "A tag")).strip().lstrip("#").strip()
    if not tag:
        raise NoteInvalid("A tag is empty. Leave it out or write a word.")
    if len(tag) > TAG_MAX:
        raise NoteInvalid(f"A tag has {len(tag)} characters. Shorten it to at most {TAG_MAX}.")
    if "," in tag or any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in tag):
        raise NoteInvalid(
            "A tag contains a comma, a line break or a control character. Write each tag alone."
        )
    return tag


def folded(name: str) -> str:
    """What two titles or tags have in common when they are the same but for upper and lower case."""
    return unicodedata.normalize("NFC", name.casefold())


def full_space(caller: Caller, space: str) -> str:
    """The stored name of the space that the caller calls `space`; says nothing about whether it is open."""
    space = _encodable(space, "The space").strip()
    if space == OWN:
        if caller.own_space is None:
            raise NoteInvalid('You have no space of your own, so "~" names none. Name a shared space.')
        return caller.own_space
    shared = len(space) <= SHARED_SPACE_MAX and _SHARED_SPACE.fullmatch(space)
    if not shared and not (len(space) <= SPACE_MAX and _OWN_SPACE.fullmatch(space)):
        raise NoteInvalid(
            f"This is no name of a space. Use up to {SHARED_SPACE_MAX} letters, digits, '.', '-' or '_', "
            'beginning with a letter or digit, or "~" for your own space.'
        )
    return space


def shown_space(caller: Caller, space: str) -> str:
    return OWN if space == caller.own_space else space


def is_open(caller: Caller, space: str) -> bool:
    """Whether the caller's rules open the (full) space. A rule may also name the caller's own space "~"."""
    own = space == caller.own_space and OWN in caller.spaces.names
    return own or caller.spaces.includes(space)


def open_names(caller: Caller) -> frozenset[str]:
    """The spaces that are open by name, in full."""
    names = caller.spaces.names
    if OWN not in names:
        return names
    return names - {OWN} | ({caller.own_space} if caller.own_space else frozenset())


def open_space(caller: Caller, space: str) -> str:
    """The full name of a space to write into. Closed and unknown ones get the same SpaceClosed."""
    space = full_space(caller, space)
    if not is_open(caller, space):
        raise SpaceClosed("This space is not open to you. list_spaces names those that are.")
    return space


def _encodable(text: str, what: str) -> str:
    if "\0" in text:
        raise NoteInvalid(f"{what} contains a NUL character. Remove it and try again.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NoteInvalid(f"{what} contains half of a Unicode pair (a lone surrogate). Remove it.") from None
    return text

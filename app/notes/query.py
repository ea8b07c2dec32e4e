"""What people type into search: words, "phrases", -not, prefix*, tag:name.

Everything else is a word. A query never fails: what means nothing is left out.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from app.notes.models import TAG_MAX
from app.notes.valid import folded

QUERY_MAX = 2000  # characters; the rest is not read
TERMS_MAX = 64
_TERM = re.compile(r'(?P<minus>-?)(?:"(?P<phrase>[^"]*)(?:"|$)(?P<star>\*?)|(?P<word>[^\s"]+))')
_QUOTES = str.maketrans(dict.fromkeys("“”„«»‟＂", '"'))


@dataclass(frozen=True, slots=True)
class Term:
    """Words that follow each other; the last one may be the beginning of a word."""

    text: str
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """All of `wanted` and `tags`, none of `unwanted`. A blank query fits every note; `hopeless` is one of
    signs alone, which no note can be found by."""

    wanted: tuple[Term, ...] = ()
    unwanted: tuple[Term, ...] = ()
    tags: tuple[str, ...] = ()  # folded
    hopeless: bool = False


def parse(text: str) -> Query:
    wanted: dict[Term, None] = {}
    unwanted: dict[Term, None] = {}
    tags: dict[str, None] = {}
    text = _readable(text)
    for match in _TERM.finditer(text):
        word = match["word"]
        if word and not match["minus"] and (tag := _tag(word)):
            tags.setdefault(tag)
        elif term := _term(match):
            (unwanted if match["minus"] else wanted).setdefault(term)
        if len(wanted) + len(unwanted) + len(tags) == TERMS_MAX:
            break
    hopeless = not (wanted or unwanted or tags) and bool(text.strip(' \t\r\n"*-'))
    return Query(tuple(wanted), tuple(unwanted), tuple(tags), hopeless)


def all_of(terms: tuple[Term, ...]) -> str:
    """An FTS5 expression (SQLite "Full-text Query Syntax") for all the terms, "" for none.

    Every term is a quoted string, in which FTS5 knows no operators. Terms side by side mean AND, and
    unlike a written AND leave out a term in which SQLite's older Unicode tables see no letter.
    """
    return " ".join(_quoted(term) for term in terms)


def any_of(terms: tuple[Term, ...]) -> str:
    return " OR ".join(_quoted(term) for term in terms)


def fts_match(query: Query) -> str:
    """The FTS5 expression of a query that wants at least one term."""
    wanted = all_of(query.wanted)
    return f"({wanted}) NOT ({any_of(query.unwanted)})" if query.unwanted else wanted


def _readable(text: str) -> str:
    text = text[:QUERY_MAX].replace("\0", " ").encode(errors="replace").decode()
    return unicodedata.normalize("NFC", text).translate(_QUOTES)


def _tag(word: str) -> str | None:
    name, colon, tag = word.partition(":")
    tag = tag.lstrip("#")
    return folded(tag) if colon and name.lower() == "tag" and 0 < len(tag) <= TAG_MAX else None


def _term(match: re.Match[str]) -> Term | None:
    word = match["word"]
    text = (match["phrase"] or "") if word is None else word.rstrip("*")
    if not any(_in_token(c) for c in text):
        return None
    prefix = bool(match["star"]) if word is None else word.endswith("*")
    # A star makes a prefix only of a word that it touches: in `c++*` it would touch a sign.
    return Term(text, prefix=prefix and _in_token(text[-1]))


def _in_token(char: str) -> bool:
    """What FTS5's unicode61 tokenizer keeps: letters, numbers, private use."""
    category = unicodedata.category(char)
    return category[0] in "LN" or category == "Co"


def _quoted(term: Term) -> str:
    return '"' + term.text.replace('"', '""') + '"' + ("*" if term.prefix else "")

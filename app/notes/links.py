"""Wikilinks in the text of a note: `[[Title]]`, `[[Title|label]]`, `[[Title#heading]]`; not inside code."""

from __future__ import annotations

import re

from app.notes.models import TITLE_MAX
from app.notes.valid import folded

LINKS_MAX = 1000  # per note; more are plain text
# `[` and `]` are left out of the target, so that every match is found in one pass over the text.
_LINK = re.compile(r"\[\[([^\[\]|#\n]{1,400})(?:#[^\[\]|\n]{0,400})?(?:\|[^\[\]\n]{0,400})?\]\]")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_TICKS = re.compile(r"`+")


def link_targets(text: str) -> tuple[str, ...]:
    """The titles that the text links to, folded, in order, each once."""
    if "[[" not in text:
        return ()
    found: dict[str, None] = {}
    for match in _LINK.finditer(_without_spans(without_fences(text))):
        target = folded(match[1].strip())
        if target and len(target) <= 2 * TITLE_MAX:
            found.setdefault(target)
        if len(found) == LINKS_MAX:
            break
    return tuple(found)


def without_fences(text: str) -> str:
    """The text without its fenced code blocks (CommonMark §4.5)."""
    if "```" not in text and "~~~" not in text:
        return text
    kept: list[str] = []
    fence = ""
    for line in text.splitlines(keepends=True):
        match = _FENCE.match(line)
        if not fence:
            if match and not (match[1][0] == "`" and "`" in match[2]):
                fence = match[1]
            else:
                kept.append(line)
        elif match and match[1].startswith(fence) and not match[2].strip():
            fence = ""
    return "".join(kept)


def _without_spans(text: str) -> str:
    """The text without its code spans: backticks up to the next run of the same length (CommonMark §6.1)."""
    if "`" not in text:
        return text
    runs = [(m.start(), m.end()) for m in _TICKS.finditer(text)]
    closing: dict[int, list[int]] = {}  # length of a run -> indexes of such runs, last first
    for index in range(len(runs) - 1, -1, -1):
        closing.setdefault(runs[index][1] - runs[index][0], []).append(index)
    kept: list[str] = []
    at = index = 0
    while index < len(runs):
        start, end = runs[index]
        same = closing[end - start]
        while same and same[-1] <= index:
            same.pop()
        if not same or "\n\n" in text[end : runs[same[-1]][0]]:  # a span ends with its paragraph
            index += 1
            continue
        kept.append(text[at:start])
        kept.append("\n")  # so that what stood around the span does not grow together
        at = runs[same[-1]][1]
        index = same[-1] + 1
    kept.append(text[at:])
    return "".join(kept)

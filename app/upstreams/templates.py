"""Which URIs a template of an upstream stands for. Pure.

FastMCP makes a regular expression of it, and then whoever writes a template, or asks for a URI, decides how
long the look-up takes. Here each literal part is looked for once, and no choice is ever taken back.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from urllib.parse import quote

LONGEST_URI = 2048  # characters; whatever is longer is not looked up, nor listed
LONGEST_TEMPLATE, MOST_EXPRESSIONS = 255, 8

_QUERY = re.compile(
    r"\{[?&][^{}]+\}"
)  # `{?a,b}` stands for what follows the path; FastMCP does not look at it
_EXPRESSION = re.compile(r"(\{[^{}]+\})")
_TRIPLET = re.compile(r"%[0-9A-Fa-f]{2}")
_AS_IT_IS = ":/?#[]@!$&'()*+,;=%"

_ALL_OF_THE_WEB = re.compile(r"https?:/*", re.IGNORECASE)

_Gap = tuple[str, int]  # what no value of it holds, and how many characters it has at least


def usable(template: str) -> bool:
    """False: it is too long, or its parts can be told from one another in too many ways."""
    if len(template) > LONGEST_TEMPLATE:
        return False
    path = _QUERY.sub("", template)
    expressions = _EXPRESSION.findall(path)
    wide = [one for one in expressions if one.startswith("{+") or one.endswith("*}")]
    return len(expressions) <= MOST_EXPRESSIONS and len(wide) <= 1 and "}{" not in path


def normal(uri: str) -> str:
    """With everything percent-encoded that may be, as clients write it, and as they may not."""
    encoded = quote(uri, safe=_AS_IT_IS, errors="surrogatepass")
    return _TRIPLET.sub(lambda triplet: triplet[0].upper(), encoded)


class Shape:
    """Of a usable template, for many URIs."""

    def __init__(self, template: str) -> None:
        parts = _EXPRESSION.split(_QUERY.sub("", template))
        literals = [normal(part) for part in parts[::2]]
        gaps: list[_Gap] = []
        for number, expression in enumerate(parts[1::2]):
            if any("?" in literal for literal in literals[: number + 1]):
                gaps.append(("&", 0))
            else:
                gaps.append(("", 1) if expression.endswith("*}") else ("/", 1))
        self._with_query = any("?" in literal for literal in literals)
        self._with_fragment = any("#" in literal for literal in literals)
        # What is before `{rest*}`, or else before the last expression, is looked for from the left, and what
        # is behind it from the right: so it gets all that it can.
        free = gaps.index(("", 1)) if ("", 1) in gaps else len(gaps) - 1
        self._free = gaps[free] if gaps else ("", 0)
        self._left, self._left_gaps = literals[: max(free, 0) + 1], gaps[: max(free, 0)]
        self._right = [literal[::-1] for literal in reversed(literals[free + 1 :])]
        self._right_gaps = gaps[free + 1 :][::-1]
        self._fixed = literals[0] if not gaps else None

    def fits(self, uri: str) -> bool:
        """`uri`: in its normal form."""
        if not uri.startswith(self._left[0]):
            return False
        if not self._with_fragment:
            uri = uri.partition("#")[0]
        if not self._with_query:
            uri = uri.partition("?")[0]
        if self._fixed is not None:
            return uri == self._fixed
        left = _end(uri, self._left, self._left_gaps)
        right = None if left is None else _end(uri[::-1], self._right, self._right_gaps)
        if left is None or right is None:
            return False
        stop, least = self._free
        end = len(uri) - right
        return end - left >= least and not (stop and stop in uri[left:end])


class Beginnings:
    """With what a URI begins that may be of one of many templates: what each has before its first expression.

    Not where that would be every page of the web.
    """

    def __init__(self, templates: Iterable[str]) -> None:
        self._shortest: list[str] = []  # in order, and none begins with another
        for one in sorted({template.partition("{")[0] for template in templates}):
            known = bool(self._shortest) and one.startswith(self._shortest[-1])
            if not known and not _ALL_OF_THE_WEB.fullmatch(one):
                self._shortest.append(one)

    def fit(self, uri: str) -> bool:
        """So only one of them can fit: the last that comes before the URI."""
        place = bisect_right(self._shortest, uri)
        return place > 0 and uri.startswith(self._shortest[place - 1])


def _end(text: str, literals: Sequence[str], gaps: Sequence[_Gap]) -> int | None:
    """Where these literals, with these gaps between them, end first."""
    if not text.startswith(literals[0]):
        return None
    at = len(literals[0])
    for (stop, least), literal in zip(gaps, literals[1:], strict=True):
        found = text.find(literal, at + least)
        if found < 0 or stop in text[at:found]:
            return None
        at = found + len(literal)
    return at

"""A page taken apart, and what must hold for every page: found by the standard library's own parser."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "img", "input", "link", "wbr"}
APART = {
    "td",
    "th",
    "dd",
    "dt",
    "p",
    "li",
}  # what is read one after the other, with nothing between in the source
HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
Attributes = dict[str, str | None]


@dataclass
class Element:
    tag: str
    attributes: Attributes
    parent: Element | None
    text: str = ""
    children: list[Element] = field(default_factory=list)

    def inside(self, tag: str) -> Element | None:
        here = self.parent
        while here is not None and here.tag != tag:
            here = here.parent
        return here

    def words(self) -> str:
        return " ".join(self.text.split())


class Markup(HTMLParser):
    """`elements` in the order of the page; `problems` are tags that do not close each other."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self.problems: list[str] = []
        self._open: list[Element] = []
        self.feed(html)
        self.close()
        self.problems += [f"<{one.tag}> is never closed" for one in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len(dict(attrs)) != len(attrs):
            self.problems.append(f"<{tag}> has an attribute twice")
        parent = self._open[-1] if self._open else None
        element = Element(tag, dict(attrs), parent)
        if tag in APART:
            self.handle_data(" ")
        self.elements.append(element)
        if parent is not None:
            parent.children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1].tag != tag:
            self.problems.append(f"</{tag}> closes nothing")
            return
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data

    def all(self, *tags: str) -> list[Element]:
        return [one for one in self.elements if one.tag in tags]

    def one(self, tag: str) -> Element:
        (found,) = self.all(tag)
        return found

    def text(self) -> str:
        """What is read: without the style."""
        return " ".join(one.words() for one in self.all("main", "header", "footer", "title"))

    def shape(self) -> list[tuple[str, tuple[str, ...]]]:
        """The tags and the names of their attributes: what no text may change."""
        return [(one.tag, tuple(one.attributes)) for one in self.elements]


def faults(page: Markup) -> list[str]:
    """What a browser without script, a person at 360 px or a screen reader would stumble over."""
    return [
        *page.problems,
        *_names(page),
        *_headings(page),
        *_tables(page),
        *_nothing_active(page),
    ]


def _names(page: Markup) -> list[str]:
    found = []
    ids = [str(one.attributes["id"]) for one in page.elements if "id" in one.attributes]
    found += [f"id {one} is there twice" for one in set(ids) if ids.count(one) > 1]
    for element in page.elements:
        for name in ("aria-labelledby", "for"):
            if name in element.attributes and element.attributes[name] not in ids:
                found.append(f"{name} names nothing: {element.attributes[name]}")
        href = element.attributes.get("href") or ""
        if href.startswith("#") and href[1:] not in ids:
            found.append(f"a link to nowhere: {href}")
        named = {"aria-label", "aria-labelledby"} & element.attributes.keys()
        if element.tag in ("section", "nav") and not named:
            found.append(f"a {element.tag} without a name")
        if element.attributes.get("tabindex") == "0" and not (named and element.attributes.get("role")):
            found.append(f"a {element.tag} that has the focus and no name")
    for tag in ("main", "header", "footer", "title", "h1"):
        if len(page.all(tag)) != 1:
            found.append(f"not exactly one {tag}")
    if page.one("html").attributes.get("lang") != "en":
        found.append("no language")
    return found


def _headings(page: Markup) -> list[str]:
    levels = [HEADINGS.index(one.tag) for one in page.all(*HEADINGS)]
    jumps = [b for a, b in zip([-1, *levels], levels, strict=False) if b > a + 1]
    empty = [one.tag for one in page.all(*HEADINGS) if not one.words()]
    return [f"a jump to h{level + 1}" for level in jumps] + [f"an empty {tag}" for tag in empty]


def _tables(page: Markup) -> list[str]:
    found = []
    for table in page.all("table"):
        inside = [one for one in page.elements if one.inside("table") is table]
        if [one.tag for one in inside].count("caption") != 1:
            found.append("a table without a caption")
        if any(one.tag == "th" and one.attributes.get("scope") not in ("row", "col") for one in inside):
            found.append("a header cell that is of nothing")
        rows = [one for one in inside if one.tag == "tr"]
        if len({len(row.children) for row in rows}) != 1:
            found.append("rows of different lengths")
        if any(row.inside("tbody") and not any(c.tag == "th" for c in row.children) for row in rows):
            found.append("a row without a header")
        wrap = table.parent
        if wrap is None or wrap.attributes.get("class") != "wide":
            found.append("a table that makes the whole page scroll sideways")
    return found


def _nothing_active(page: Markup) -> list[str]:
    found = [f"a {one.tag}" for one in page.all("script", "iframe", "object", "embed", "base", "img", "link")]
    for element in page.elements:
        for name, value in element.attributes.items():
            if name.startswith("on") or name in ("style", "src", "srcset", "action", "formaction"):
                found.append(f"{element.tag} has {name}")
            if name == "href" and value != "/" and not str(value).startswith("#"):
                found.append(f"a link away: {value}")
        if element.tag == "svg" and element.attributes.get("aria-hidden") != "true":
            found.append("a drawing that is read aloud")
    return found

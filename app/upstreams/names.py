"""What a name or URI of an upstream is called here, and back. Pure."""

from __future__ import annotations

import re

from pydantic import AnyUrl, ValidationError

from app.upstreams.entries import Entry

# RFC 3986 §3: a scheme, and what follows it. Many have no `//`, as `urn:isbn:123`.
_URI = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*:(?://)?)(.*)", re.DOTALL)


class Names:
    """With a namespace `name` a tool is `name_tool`, and a resource `scheme://name/rest` or
    `scheme:name/rest`; else as it was."""

    def __init__(self, entry: Entry) -> None:
        self._prefix = entry.prefix
        self._part = f"{entry.name}/" if entry.namespace else ""

    def name(self, there: str) -> str:
        return f"{self._prefix}{there}"

    def resource(self, there: str) -> str | None:
        """The URI of one that is listed, in the normal form: FastMCP lists and finds it by this, and so it is
        what a policy has to name. None: it is no URI, or its normal form is not in the namespace any more, as
        `file:name/../home/x`, which is `file:///home/x`."""
        here = self.uri(there)
        try:
            normal = None if here is None else str(AnyUrl(here))
        except ValidationError:
            return None
        match = None if normal is None else _URI.fullmatch(normal)
        return None if match is None or not match[2].startswith(self._part) else normal

    def uri(self, there: str) -> str | None:
        """Of a URI, or a template of URIs. None: without a scheme it cannot be told from those of others."""
        match = _URI.fullmatch(there)
        return None if match is None else f"{match[1]}{self._part}{match[2]}"

    def uri_there(self, here: str) -> str | None:
        """Of a URI or a template. None: not one of this upstream's."""
        match = _URI.fullmatch(here)
        if match is None or not match[2].startswith(self._part):
            return None
        there = f"{match[1]}{match[2][len(self._part) :]}"
        return there if self.uri(there) == here else None  # `x:name///a` is no other name of `x://a`

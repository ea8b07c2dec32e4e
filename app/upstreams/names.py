"""What a name or URI of an upstream is called here, and back. Pure."""

from __future__ import annotations

import re

from app.upstreams.entries import Entry

_URI = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*://)(.*)", re.DOTALL)


class Names:
    """With a namespace `name` a tool is `name_tool` and a resource `scheme://name/rest`; else as it was."""

    def __init__(self, entry: Entry) -> None:
        self._prefix = entry.prefix
        self._part = f"{entry.name}/" if entry.namespace else ""

    def name(self, there: str) -> str:
        return f"{self._prefix}{there}"

    def uri(self, there: str) -> str:
        match = _URI.fullmatch(there)
        return f"{match[1]}{self._part}{match[2]}" if match else there

    def uri_there(self, here: str) -> str | None:
        """None: not one of this upstream's."""
        match = _URI.fullmatch(here)
        if match is None or not match[2].startswith(self._part):
            return None
        return f"{match[1]}{match[2][len(self._part) :]}"

    def can_be(self, there: str) -> bool:
        """Whether a URI can be told from those of others."""
        return not self._part or _URI.fullmatch(there) is not None

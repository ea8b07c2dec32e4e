"""upstreams.toml while the server runs."""

from __future__ import annotations

from pathlib import Path

from app.stamp import stamp
from app.upstreams.entries import Upstreams, UpstreamsInvalid
from app.upstreams.file import read_upstreams

LOOK_EVERY = 0.4  # seconds; a change counts once two looks have found it the same, so it is written whole


class Watched:
    """`found`: what the file said last. `news` is asked every LOOK_EVERY. Raises UpstreamsInvalid."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known = self._seen = stamp(path)  # before it is read: what is written meanwhile is news
        self.found = read_upstreams(path)

    def news(self) -> Upstreams | None:
        """The file, if it is another one. Raises UpstreamsInvalid, once for each file that cannot be used."""
        before, self._seen = self._seen, stamp(self.path)
        if self._seen != before or self._seen == self._known:
            return None
        self._known = self._seen
        if self._known is None:
            raise UpstreamsInvalid(["the file is gone"])
        found = read_upstreams(self.path)
        if not found.entries and stamp(self.path) is None:  # since we looked
            raise UpstreamsInvalid(["the file is gone"])
        self.found = found
        return found

"""The last good list of an upstream and what of it the operator has accepted, in DATA_DIR/upstreams."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import AppError
from app.stamp import Stamp, stamp
from app.strict import json_object
from app.upstreams.listing import Definition, Listing, listing
from app.upstreams.pins import digest

log = logging.getLogger("brain")

FOLDER = "upstreams"  # in DATA_DIR
LOOK_EVERY = 0.4  # seconds; what was accepted counts within one second


class KeptUnusable(AppError):
    code = "upstreams_unusable"
    status = 503


@dataclass(frozen=True, slots=True)
class Kept:
    """`seen`: what the upstream said last. `accepted`: digests (pins.py) that the operator let in.
    `were`: the definitions behind those of them that are other ones by now, or gone."""

    seen: Listing
    accepted: Mapping[str, str]
    were: Mapping[str, Definition] = field(default_factory=dict)

    def followed_by(self, now: Listing) -> Kept:
        """With what it says now, of which nothing new is accepted."""
        digests, accepted = now.digests(), self.accepted
        known = {**self.were, **_accepted(self.seen.instructing(), accepted)}
        return Kept(
            now,
            accepted,
            {name: one for name, one in known.items() if digests.get(name) != accepted[name]},
        )


def all_accepted(seen: Listing) -> Kept:
    return Kept(seen, seen.digests())


class KeptFile:
    """The file of one upstream. `current()` notices what another process has written."""

    def __init__(self, data_dir: Path, name: str, now: Callable[[], float]) -> None:
        self.path = data_dir / FOLDER / f"{name}.json"
        self._now = now
        self._stamp: Stamp | None = None
        self._kept: Kept | None = None
        self._looked_at: float | None = None

    def current(self) -> Kept | None:
        """None: this upstream was never seen."""
        now = self._now()
        if self._looked_at is None or not 0 <= now - self._looked_at < LOOK_EVERY:
            self._looked_at = now
            self._look()
        return self._kept

    def as_written(self) -> Kept | None:
        """The same, not from memory: for whoever writes what follows."""
        self._looked_at = None
        return self.current()

    def _look(self) -> None:
        found = stamp(self.path)
        if found == self._stamp:
            return
        self._stamp = found
        try:
            self._kept = None if found is None else _read(self.path)
        except (OSError, ValueError, KeyError, TypeError) as problem:
            # What was accepted is unknown, so nothing is taken as accepted.
            log.error(
                "%s is not usable, its tools are withheld where they are pinned: %s", self.path, problem
            )
            self._kept = Kept(listing({}), {})

    def write(self, kept: Kept) -> None:
        """Whole or not at all. Raises KeptUnusable."""
        table = {**kept.seen.as_json(), "accepted": dict(kept.accepted), "were": dict(kept.were)}
        text = json.dumps(table, indent=1)
        temporary = self.path.with_suffix(f".{os.getpid()}.tmp")
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                temporary.unlink()  # of a process that died
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as out:
                out.write(text)
            temporary.replace(self.path)
        except OSError as problem:
            raise KeptUnusable(f"{self.path} cannot be written: {problem.strerror}.") from None
        self._stamp, self._kept = stamp(self.path), kept

    def hold(self, kept: Kept) -> None:
        """In memory alone, where it cannot be written."""
        self._kept = kept


def _read(path: Path) -> Kept:
    data = json_object(path.read_bytes())
    accepted = {str(name): str(value) for name, value in data.pop("accepted").items()}
    were = data.pop("were", {})  # files of before have none
    return Kept(listing(data), accepted, _accepted(were, accepted))


def _accepted(definitions: Mapping[str, Definition], accepted: Mapping[str, str]) -> dict[str, Definition]:
    return {name: one for name, one in definitions.items() if digest(one) == accepted.get(name)}

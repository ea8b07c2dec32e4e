"""The policy file on disk: read at the start, read again when it changes, never replaced by a broken one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

from app.policy.parse import PolicyInvalid, parse
from app.policy.rules import NO_POLICY, Policy
from app.stamp import stamp

log = logging.getLogger(__name__)

LOOK_EVERY = 0.5  # seconds between two looks at the file, so that a change counts within one second


class PolicyFile:
    """`current()` is the policy in force; `problem` says why a newer file is not, or is None."""

    def __init__(
        self, path: Path, now: Callable[[], float], changed: Callable[[str | None], None] = lambda _: None
    ) -> None:
        """Raises PolicyInvalid: a server must not start on a broken file.

        `changed` is told of every later file: None when it is in force, else why it is not.
        """
        self._changed = changed
        self._path, self._now = path, now
        self._stamp = stamp(path)
        self._policy = NO_POLICY if self._stamp is None else _load(path)
        self._looked_at = now()
        self.problem: str | None = None

    def current(self) -> Policy:
        now = self._now()
        if now - self._looked_at >= LOOK_EVERY or now < self._looked_at:
            self._looked_at = now
            self._look()
        return self._policy

    def _look(self) -> None:
        seen = stamp(self._path)
        if seen == self._stamp:
            return
        self._stamp = seen
        if seen is None:
            self._keep("the file is gone")
            return
        try:
            self._policy = _load(self._path)
        except PolicyInvalid as invalid:
            self._keep(invalid.public)
        else:
            self.problem = None
            self._changed(None)
            log.warning("policy reloaded from %s: %d rules", self._path, len(self._policy.rules))

    def _keep(self, problem: str) -> None:
        self.problem = problem
        self._changed(problem)
        log.error("THE OLD POLICY STAYS IN FORCE, %s is not usable: %s", self._path, problem)


def _load(path: Path) -> Policy:
    try:
        return parse(path.read_bytes())
    except OSError as problem:
        raise PolicyInvalid([f"{path} cannot be read: {problem.strerror}"]) from None

"""What was revoked, as every process sees it with its very next call, without a query per call.

SQLite counts the commits of other connections (`PRAGMA data_version`, some microseconds): only when that
number moved are new rows read. Everything here is synchronous and on the event loop's thread, so between
a check and the call that it was for nothing can come in.

Calls that begin in the same turn of the event loop share one look: a request that was sent after a
revocation was answered is only read in a later turn.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

from app.store.engine import StoreUnusable

BUSY_SECONDS = 0.25  # readers of a WAL never wait for writers; a recovery may take a moment
_ROWS = "SELECT seq, grant_id, jti, until FROM oauth_revocations WHERE seq >= ? ORDER BY seq"

_Row = tuple[int, str | None, str | None, float]


class SqlRevocations:
    """Implements Revocations (app/oauth/models.py) with a connection of its own that only reads."""

    def __init__(self, path: Path, now: Callable[[], float]) -> None:
        """Opens when first asked. Raises nothing."""
        self._path, self._now = path, now
        self._connection: sqlite3.Connection | None = None
        self._version = -1
        self._fresh = False  # looked at in this turn
        self._last: _Row | None = None
        self._until: dict[str, float] = {}  # of grants and of tokens; their ids do not meet
        self._sweep_at = 0

    def __len__(self) -> int:
        return len(self._until)

    def is_revoked(self, *, grant_id: str, jti: str) -> bool:
        """Raises StoreUnusable where it cannot be said: never a guess, and never a 401 for it."""
        try:
            if not self._fresh:
                self._look()
                self._fresh = self._ends_with_this_turn()
        except sqlite3.Error as problem:
            self.close()
            raise StoreUnusable(
                "Whether the access was revoked cannot be checked now. Try again shortly.",
                detail=str(problem),
                retry_after=5,
            ) from problem
        return bool(self._until) and (f"g:{grant_id}" in self._until or f"j:{jti}" in self._until)

    def close(self) -> None:
        """Forgets all; the next check begins anew."""
        if self._connection is not None:
            self._connection.close()
        self._connection, self._version, self._last = None, -1, None
        self._fresh = False
        self._until, self._sweep_at = {}, 0

    def _ends_with_this_turn(self) -> bool:
        """Whether there is a turn that ends: outside of a loop every check looks."""
        try:
            asyncio.get_running_loop().call_soon(self._turned)
        except RuntimeError:
            return False
        return True

    def _turned(self) -> None:
        self._fresh = False

    def _look(self) -> None:
        connection = self._connection or self._open()
        version: int = connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._read(connection)
            self._version = version  # only now: a read that failed is tried again

    def _open(self) -> sqlite3.Connection:
        uri = f"{self._path.absolute().as_uri()}?mode=ro"
        self._connection = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        return self._connection

    def _read(self, connection: sqlite3.Connection) -> None:
        """New rows only. SQLite gives a number again when the row that had it last is gone: then all."""
        start = self._last[0] if self._last else 0
        rows: list[_Row] = connection.execute(_ROWS, (start,)).fetchall()
        if self._last is not None:
            if not rows or rows[0] != self._last:
                rows = connection.execute(_ROWS, (0,)).fetchall()
                self._until = {}
            elif len(rows) == 1:
                return
        for _, grant_id, jti, until in rows:
            for key in (grant_id and f"g:{grant_id}", jti and f"j:{jti}"):
                if key:
                    self._until[key] = max(until, self._until.get(key, until))
        self._last = rows[-1] if rows else None
        if len(self._until) > self._sweep_at:
            self._sweep()

    def _sweep(self) -> None:
        """Forgets what has ended: such a token is expired. Each time at twice what was left."""
        now = self._now()
        self._until = {key: until for key, until in self._until.items() if until >= now}
        self._sweep_at = 2 * len(self._until) + 64

"""Questions about the last calls, answered by the database in bounded work: never by a walk of the log."""

from __future__ import annotations

from typing import Any

from app.audit.activity import DAY, HOUR, WEEK, Activity, Hour, PastCall, Seen
from app.principal import Principal
from app.store.engine import Database

COUNTED = 50_000  # newest records that figures are made from
LOOKED_AT = 500  # newest records of one principal among which its calls are looked for
CALLS = 20
SEEN = 100
DENIALS = 20
REFUSALS = 10

_CALL = "at, door, principal, operation, name, decision, reason, status, request_id"
_KNOWN = "kind IN ('person', 'service', 'lan')"
# What the gate decides; signing in, consenting and the like are seen, and are no calls.
_CALLED = "operation IN ('tools/call', 'resources/read', 'prompts/get', 'completion/complete')"

_CALLS_OF = f"""
SELECT {_CALL} FROM (
  SELECT * FROM audit WHERE principal = :principal ORDER BY seq DESC LIMIT {LOOKED_AT}
) WHERE kind = :kind AND {_CALLED} ORDER BY seq DESC LIMIT {CALLS}
"""  # noqa: S608 - constants only

_BOUNDS = f"""
SELECT counted.at, head.seq FROM (SELECT max(seq) AS seq FROM audit) AS head
LEFT JOIN audit AS counted ON counted.seq = head.seq - {COUNTED}
"""  # noqa: S608

_SEEN = f"""
SELECT principal, kind, max(at),
  sum({_CALLED} AND at >= :day), sum({_CALLED} AND decision = 'deny' AND at >= :day),
  sum({_CALLED}), sum({_CALLED} AND decision = 'deny')
FROM audit WHERE seq > :floor AND at >= :week AND {_KNOWN}
GROUP BY principal, kind ORDER BY max(at) DESC, principal LIMIT {SEEN}
"""  # noqa: S608

_HOURS = f"""
SELECT (at - :first) / {HOUR}, sum({_KNOWN} AND {_CALLED}), sum({_CALLED} AND decision = 'deny'),
  sum(decision = 'refuse' AND operation = 'door')
FROM audit WHERE seq > :floor AND at >= :first GROUP BY 1
"""  # noqa: S608

_DENIALS = f"""
SELECT {_CALL} FROM audit WHERE seq > :floor AND at >= :week AND decision = 'deny'
ORDER BY seq DESC LIMIT {DENIALS}
"""  # noqa: S608

_REFUSALS = f"""
SELECT {_CALL} FROM audit
WHERE seq > :floor AND at >= :week AND decision = 'refuse' AND operation = 'door'
ORDER BY seq DESC LIMIT {REFUSALS}
"""  # noqa: S608


async def calls_of(database: Database, principal: Principal) -> tuple[PastCall, ...]:
    """The newest calls of `principal`, newest first."""
    values = {"principal": principal.id, "kind": principal.kind}
    return _calls(await database.rows(_CALLS_OF, values))


async def activity(database: Database, now: float) -> Activity:
    """The last seven days as they stand at `now` (seconds)."""
    ms = int(now * 1000)
    first = ms - ms % HOUR - 23 * HOUR
    ((edge, newest),) = await database.rows(_BOUNDS, {})
    bounds = {"floor": (newest or 0) - COUNTED, "week": ms - WEEK}
    hours = {row[0]: row[1:] for row in await database.rows(_HOURS, {**bounds, "first": first})}
    cut = edge is not None and edge >= ms - WEEK
    return Activity(
        since=edge if cut else ms - WEEK,
        whole=not cut,
        seen=tuple(Seen(*row) for row in await database.rows(_SEEN, {**bounds, "day": ms - DAY})),
        hours=tuple(Hour(first + n * HOUR, *hours.get(n, (0, 0, 0))) for n in reversed(range(24))),
        denials=_calls(await database.rows(_DENIALS, bounds)),
        refusals=_calls(await database.rows(_REFUSALS, bounds)),
    )


def _calls(rows: list[Any]) -> tuple[PastCall, ...]:
    return tuple(PastCall(*row) for row in rows)

"""The chain of audit records: each one's hash covers the record and the hash before it.

A record that is changed, missing, moved or added breaks the chain at a place that `verify` names. The
end is held by the head: the last sequence number and hash, sealed with a key outside the database.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from app.audit.events import Event

FIRST = "0" * 64  # what stands before the first record
PRUNE = "audit/prune"  # the operation of a checkpoint: the records before it were removed by retention
UNSEALED = "audit/unsealed"  # the operation of a record after an end that our key had not sealed
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the audit log. `at` is milliseconds since the epoch; `ts` of the JSON is the same time."""

    seq: int
    at: int
    event: Event
    prev: str
    hash: str

    def as_json(self) -> dict[str, Any]:
        """The record of INTERFACE "Audit record", with what is kept beside it only where there is any."""
        line = {"ts": timestamp(self.at), "seq": self.seq, **_body(self.event)}
        return line | {"prev": self.prev, "hash": self.hash}


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the chain as it was last written. `seal` is an HMAC of the two others."""

    seq: int
    hash: str
    seal: str


@dataclass(frozen=True, slots=True)
class Fault:
    """The first place where the chain does not hold."""

    seq: int
    what: str


def link(seq: int, at: int, event: Event, prev: str) -> Record:
    """The next record after one whose hash is `prev`."""
    return Record(seq, at, event, prev, digest(seq, at, event, prev))


def link_all(last: Head | None, stamped: Sequence[tuple[int, Event]]) -> list[Record]:
    """The records of `stamped` (time in ms, event), in order, after the chain's end."""
    seq, prev = (last.seq, last.hash) if last else (0, FIRST)
    records = []
    for at, event in stamped:
        seq += 1
        records.append(link(seq, at, event, prev))
        prev = records[-1].hash
    return records


def digest(seq: int, at: int, event: Event, prev: str) -> str:
    """SHA-256 over the previous hash and the record as JSON: all of it but `prev` and `hash`, in ASCII,
    with sorted names and without blanks. A line of the export has everything that is needed to repeat it."""
    body = _canonical({"ts": timestamp(at), "seq": seq, **_body(event)})
    return sha256(prev.encode() + body.encode()).hexdigest()


def seal(key: bytes, seq: int, last_hash: str) -> str:
    return hmac.new(key, f"{seq}:{last_hash}".encode(), sha256).hexdigest()


def is_sealed(key: bytes, head: Head) -> bool:
    """Whether this end was written with `key`."""
    return hmac.compare_digest(head.seal.encode(), seal(key, head.seq, head.hash).encode())


def checkpoint(removed: Record) -> Event:
    """What retention leaves behind: the last record that it removed, by number and hash."""
    return Event(
        door="",
        operation=PRUNE,
        name=f"{removed.seq}:{removed.hash}",
        decision="allow",
        principal="retention",
    )


def unsealed(seq: int) -> Event:
    """What stands after an end that somebody else has written: from then on `verify` tells of it."""
    return Event(door="", operation=UNSEALED, name=str(seq), decision="refuse", reason="unsealed", status=500)


class Check:
    """Takes the records of a chain one by one, in the order of their numbers, and then its end."""

    def __init__(self) -> None:
        self._count = 0
        self._first: Record | None = None
        self._last: Record | None = None
        self._pruned: set[str] = set()

    def take(self, record: Record) -> Fault | None:
        """Whether the chain holds up to here. After a Fault nothing more is to be said."""
        fault = _fault(record, self._last)
        if record.event.operation == PRUNE and record.event.name.partition(":")[0].isdecimal():
            self._pruned.add(record.event.name)
        self._first, self._last, self._count = self._first or record, record, self._count + 1
        return fault

    def end(self, head: Head | None, key: bytes) -> Fault | int:
        """The Fault at either end, or how many records hold."""
        return self._fault_at_start() or _fault_at_end(self._last, head, key) or self._count

    def _fault_at_start(self) -> Fault | None:
        first = self._first
        if first is None or first.seq == 1 or f"{first.seq - 1}:{first.prev}" in self._pruned:
            return None
        told = [int(name.partition(":")[0]) for name in self._pruned]
        gone = max((seq for seq in told if seq < first.seq), default=0) + 1
        return Fault(
            gone, f"the records from here to {first.seq - 1} are gone, and no checkpoint tells of it"
        )


def verify(records: Iterable[Record], head: Head | None, key: bytes) -> Fault | int:
    """The first Fault, or how many records hold. `records` in the order of their numbers."""
    check = Check()
    for record in records:
        if (fault := check.take(record)) is not None:
            return fault
    return check.end(head, key)


def _fault(record: Record, before: Record | None) -> Fault | None:
    if before is not None and record.seq != before.seq + 1:
        return Fault(before.seq + 1, "the record is missing")
    prev = before.hash if before is not None else FIRST if record.seq == 1 else record.prev
    if record.prev != prev:
        return Fault(record.seq, "the record does not follow the one before it")
    try:
        same = digest(record.seq, record.at, record.event, record.prev) == record.hash
    except (ValueError, TypeError, OverflowError):  # values that no record has
        same = False
    if not same:
        return Fault(record.seq, "the record was changed")
    if record.event.operation == UNSEALED:
        return Fault(record.seq, "the end of the chain before this record was not sealed with our key")
    return None


def _fault_at_end(last: Record | None, head: Head | None, key: bytes) -> Fault | None:
    if head is None:
        return Fault(last.seq, "the end of the chain is not sealed") if last is not None else None
    if not is_sealed(key, head):
        return Fault(head.seq, "the seal at the end of the chain is not ours")
    if last is None or last.seq < head.seq:
        return Fault((last.seq if last else 0) + 1, f"the records from here to {head.seq} are cut off")
    if (last.seq, last.hash) != (head.seq, head.hash):
        return Fault(last.seq, "the last record is not the one that was sealed")
    return None


def timestamp(at: int) -> str:
    """ISO 8601 in UTC with milliseconds."""
    return (_EPOCH + timedelta(milliseconds=at)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
# What most records do not have; named only where there is something.
_OPTIONAL = ("groups", "args")


def _body(event: Event) -> dict[str, Any]:
    body = {name: getattr(event, name) for name in _FIELDS}
    body["rules"] = list(event.rules)
    for name in _OPTIONAL:
        if not body[name]:
            del body[name]
    if event.groups:
        body["groups"] = list(event.groups)
    if event.args:
        body["args"] = json.loads(event.args)
    return body


_FIELDS = tuple(field.name for field in fields(Event))


def lines(records: Iterable[Record]) -> Iterator[str]:
    """JSON Lines, for export. In ASCII: whatever a caller sent can be written anywhere."""
    for record in records:
        yield json.dumps(record.as_json())


def event_of(values: Mapping[str, Any]) -> Event:
    """The Event of a stored row. Raises ValueError or TypeError for what was never stored."""
    return Event(**{name: _back(name, values[name]) for name in _FIELDS})


def _back(name: str, value: Any) -> Any:
    if name in ("rules", "groups"):
        return tuple(json.loads(value))
    if name == "args" and value:
        return json.dumps(json.loads(value), sort_keys=True)  # as it was written: so other bytes are seen
    return value


def row_of(record: Record) -> dict[str, Any]:
    """The values of a record for a row of the table."""
    event = record.event
    values = {name: getattr(event, name) for name in _FIELDS}
    values["rules"], values["groups"] = _list(event.rules), _list(event.groups)
    values["seq"], values["at"], values["prev"], values["hash"] = (
        record.seq,
        record.at,
        record.prev,
        record.hash,
    )
    return values


def _list(texts: tuple[str, ...]) -> str:
    return json.dumps(texts) if texts else "[]"

"""Chains to try things on: whole ones, and how to seal what somebody made of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from app.audit.chain import Head, Record, link_all, seal
from app.audit.events import Event

KEY = b"k" * 32
AT = 1_800_000_000_000

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
lists = st.lists(texts, max_size=3).map(tuple)
events: st.SearchStrategy[Event] = st.builds(
    Event,
    door=texts,
    operation=texts,
    name=texts,
    decision=st.sampled_from(["allow", "deny", "refuse"]),
    request_id=texts,
    cf_ray=texts,
    principal=texts,
    kind=texts,
    client=texts,
    groups=lists,
    args_sha256=texts,
    args=st.sampled_from(["", '{"id": "7"}', '{"id": "8", "n": 1.5}']),
    rules=lists,
    reason=texts,
    status=st.integers(0, 999),
    ms=st.floats(0, 1e9),
)
stamped = st.lists(st.tuples(st.integers(0, 4 * AT // 3), events), min_size=1, max_size=8)
chains: st.SearchStrategy[list[Record]] = stamped.map(lambda some: link_all(None, some))


def head_of(records: list[Record], key: bytes = KEY) -> Head:
    """The end of `records` as it would be written."""
    last = records[-1]
    return Head(last.seq, last.hash, seal(key, last.seq, last.hash))


def event(name: str = "search", **more: Any) -> Event:
    return Event(door="lan", operation="tools/call", name=name, decision="allow", **more)


def chain(length: int) -> list[Record]:
    return link_all(None, [(AT + n, event(f"tool {n}")) for n in range(length)])

"""The parts that need no upstream: the breaker, the bucket, digests, and what takes credentials out."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.upstreams.breaker import CLOSED, FAILURES, LONGEST_PAUSE, answered, failed, lost, probed
from app.upstreams.inflow import Inflow
from app.upstreams.listing import listing, nameless
from app.upstreams.pins import Changes, compare, digest, withheld
from app.upstreams.redaction import REDACTED, SHORTEST, Redactor

secrets = st.text(min_size=SHORTEST, max_size=40).filter(lambda text: text.isprintable() and " " not in text)


def test_three_failures_in_a_row_open_it_and_an_answer_between_them_does_not() -> None:
    breaker = CLOSED
    for _ in range(FAILURES - 1):
        breaker = failed(breaker, 0.0, "x")
    assert breaker.closed
    assert failed(answered(breaker), 0.0, "x").closed
    opened = failed(breaker, 10.0, "it did not answer in time")
    assert not opened.closed
    assert opened.why == "it did not answer in time"
    assert not opened.probe_due(10.5)
    assert opened.probe_due(11.0)


def test_each_pause_is_twice_as_long_up_to_a_minute_until_a_call_is_answered() -> None:
    breaker, pauses = CLOSED, []
    for _ in range(9):
        breaker = lost(breaker, 0.0, "gone")
        pauses.append(breaker.wait(0.0))
        breaker = probed(breaker)
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    assert max(pauses) == LONGEST_PAUSE
    assert lost(answered(breaker), 0.0, "gone").wait(0.0) == 1


def test_while_open_a_late_answer_changes_nothing() -> None:
    opened = lost(CLOSED, 0.0, "gone")
    assert answered(opened) == opened
    assert failed(opened, 5.0, "other") == opened


def test_a_flood_overflows_and_a_steady_stream_does_not() -> None:
    flood = Inflow(0.0, burst=10, per_second=5)
    assert [flood.overflows(0.0) for _ in range(11)] == [False] * 10 + [True]
    steady = Inflow(0.0, burst=10, per_second=5)
    assert not any(steady.overflows(step / 5) for step in range(1000))


@given(
    secrets,
    st.text(max_size=20),
    st.text(max_size=20),
    st.sampled_from(["plain", "json", "url", "b64", "hex"]),
)
def test_no_form_of_a_secret_gets_through(secret: str, before: str, after: str, form: str) -> None:
    try:
        raw = secret.encode()
    except UnicodeEncodeError:
        assume(False)
    written = {
        "plain": secret,
        "json": json.dumps(secret)[1:-1],
        "url": quote(secret, safe=""),
        "b64": base64.b64encode(
            before.encode("utf-8", "replace") + raw + after.encode("utf-8", "replace")
        ).decode(),
        "hex": raw.hex(),
    }[form]
    value: Any = {"a": [f"{before}{written}{after}"], written: 1}
    clean = Redactor([secret]).clean(value)
    assert REDACTED in json.dumps(clean)
    assert form == "b64" or secret not in json.dumps(clean, ensure_ascii=False) or secret in REDACTED


def test_without_secrets_nothing_is_touched_and_short_ones_are_no_secrets() -> None:
    value = {"a": ["b", 1, None]}
    assert Redactor().clean(value) is value
    assert Redactor(["a", "12345"]).clean("a 12345") == "a 12345"


def test_a_digest_covers_everything_that_is_told_and_no_order() -> None:
    one = {"name": "a", "description": "b", "inputSchema": {"type": "object", "properties": {"x": {}}}}
    assert digest(one) == digest(dict(reversed(one.items())))
    changes: list[dict[str, Any]] = [{"description": "c"}, {"inputSchema": {}}, {"annotations": {"x": True}}]
    for changed in changes:
        assert digest({**one, **changed}) != digest(one)


def test_changes_are_named() -> None:
    before, now = {"a": "1", "b": "1", "c": "1"}, {"b": "2", "c": "1", "d": "1"}
    assert compare(before, now) == Changes(("d",), ("b",), ("a",))
    assert compare(before, now).in_words() == "appeared: d; changed: b; gone: a"
    assert not compare(now, now)
    assert withheld(before, now) == {"b", "d"}


@pytest.mark.parametrize("name", ["", "a b", "a\nb", "ä", "x" * 129, "a*", "\x1b[31m"])
def test_a_name_that_no_policy_could_hold_is_left_out(name: str) -> None:
    found = {"tools": [{"name": name, "inputSchema": {}}, {"name": "good", "inputSchema": {}}]}
    assert list(listing(found).tools) == ["good"]
    assert len(nameless(found)) == 1


def test_only_what_is_passed_on_is_kept() -> None:
    told = {"name": "a", "_meta": {"ui": {"resourceUri": "ui://x"}}, "icons": [{"src": "http://x/y.png"}]}
    assert listing({"tools": [told]}).tools == {"a": {"name": "a"}}

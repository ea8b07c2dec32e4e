"""The chain: whatever is done to stored records is found, at the first place where it shows."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.audit.chain import (
    FIRST,
    Check,
    Fault,
    Record,
    checkpoint,
    event_of,
    lines,
    link_all,
    row_of,
    seal,
    unsealed,
    verify,
)
from app.audit.events import Event

from .chains import AT, KEY, chain, chains, event, events, head_of

tries = settings(max_examples=25, deadline=None)
OTHERS: dict[str, st.SearchStrategy[Any]] = {
    "decision": st.sampled_from(["allow", "deny", "refuse"]),
    "status": st.integers(0, 999),
    "ms": st.floats(0, 1e9),
    "rules": st.lists(st.text(max_size=3), max_size=2).map(tuple),
    "groups": st.lists(st.text(max_size=3), max_size=2).map(tuple),
    "args": st.sampled_from(["", '{"id": "7"}', '{"id": "8"}']),
}


def first_fault(records: list[Record], of: list[Record]) -> Fault | int:
    """What `verify` says of `records`, at whose end stands what was written after `of`."""
    return verify(records, head_of(of), KEY)


def told_by_the_export_alone(exported: list[str]) -> int | None:
    """The first line that does not hold, by what the docstring of `digest` says and nothing else."""
    prev = "0" * 64
    for number, line in enumerate(exported, 1):
        record = json.loads(line)
        said, claimed = record.pop("prev"), record.pop("hash")
        body = json.dumps(record, sort_keys=True, separators=(",", ":"))
        if said != prev or sha256((prev + body).encode("ascii")).hexdigest() != claimed:
            return number
        prev = claimed
    return None


@tries
@given(chains)
def test_a_chain_holds(records: list[Record]) -> None:
    assert first_fault(records, records) == len(records)


@tries
@given(chains, st.data())
def test_any_change_of_any_field_of_an_event_is_found_at_its_record(
    records: list[Record], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(records) - 1))
    field = data.draw(st.sampled_from([field.name for field in fields(Event)]))
    old = getattr(records[place].event, field)
    new = data.draw(OTHERS.get(field, st.text(max_size=5)).filter(lambda value: value != old))
    changed = records.copy()
    changed[place] = replace(records[place], event=replace(records[place].event, **{field: new}))
    assert first_fault(changed, records) == Fault(place + 1, "the record was changed")


@tries
@given(chains, st.data(), st.sampled_from(["at", "hash", "prev", "seq"]))
def test_any_change_of_what_holds_a_record_in_its_place_is_found_there(
    records: list[Record], data: st.DataObject, field: str
) -> None:
    place = data.draw(st.integers(0, len(records) - 1))
    new: Any = data.draw(st.text("0123456789abcdef", min_size=64, max_size=64))
    if field in ("at", "seq"):
        new = data.draw(st.integers(-(10**18), 10**18))
    if new == getattr(records[place], field):
        return
    changed = records.copy()
    changed[place] = replace(records[place], **{field: new})
    found = first_fault(changed, records)
    assert isinstance(found, Fault)
    # The very first record's number is believed until its hash is looked at.
    assert found.seq == (new if field == "seq" and place == 0 else place + 1)


@tries
@given(chains, st.data())
def test_a_record_that_is_taken_out_is_named(records: list[Record], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(records) - 1))
    found = first_fault(records[:place] + records[place + 1 :], records)
    assert isinstance(found, Fault)
    assert found.seq == place + 1


@tries
@given(chains, events, st.data())
def test_a_record_that_is_put_in_is_named(records: list[Record], forged: Event, data: st.DataObject) -> None:
    place = data.draw(st.integers(1, len(records)))
    before = records[:place]
    added = link_all(head_of(before), [(AT, forged)])
    found = first_fault([*before, *added, *records[place:]], records)
    assert isinstance(found, Fault)
    assert found.seq in (place + 1, place + 2)  # its number is taken already, or it was not sealed


@tries
@given(chains.filter(lambda records: len(records) > 1), st.data())
def test_two_records_that_change_places_are_found(records: list[Record], data: st.DataObject) -> None:
    one = data.draw(st.integers(0, len(records) - 2))
    two = data.draw(st.integers(one + 1, len(records) - 1))
    swapped = records.copy()
    # As in a table: the numbers stay where they are, all the rest changes places.
    swapped[one] = replace(records[two], seq=records[one].seq)
    swapped[two] = replace(records[one], seq=records[two].seq)
    found = first_fault(swapped, records)
    assert isinstance(found, Fault)
    assert found.seq == one + 1


@tries
@given(chains, st.data())
def test_a_tail_that_is_cut_off_is_named(records: list[Record], data: st.DataObject) -> None:
    kept = data.draw(st.integers(0, len(records) - 1))
    assert first_fault(records[:kept], records) == Fault(
        kept + 1, f"the records from here to {len(records)} are cut off"
    )


@tries
@given(chains.filter(lambda records: len(records) > 1), st.data())
def test_a_beginning_that_is_cut_off_is_named(records: list[Record], data: st.DataObject) -> None:
    cut = data.draw(st.integers(1, len(records) - 1))
    assert first_fault(records[cut:], records) == Fault(
        1, f"the records from here to {cut} are gone, and no checkpoint tells of it"
    )


@tries
@given(chains, st.data())
def test_a_chain_that_is_made_anew_from_a_changed_record_on_is_found_at_its_seal(
    records: list[Record], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(records) - 1))
    new = data.draw(events.filter(lambda one: one != records[place].event))
    made = [(record.at, record.event) for record in records]
    made[place] = (records[place].at, new)
    forged = link_all(None, made)
    assert isinstance(first_fault(forged, records), Fault)
    sealed_by_another = verify(forged, head_of(forged, b"x" * 32), KEY)
    assert sealed_by_another == Fault(len(records), "the seal at the end of the chain is not ours")


@tries
@given(chains)
def test_an_exported_log_can_be_verified_from_its_lines_alone(records: list[Record]) -> None:
    exported = list(lines(records))
    assert told_by_the_export_alone(exported) is None
    for number, line in enumerate(exported):
        changed = exported.copy()
        changed[number] = json.dumps(json.loads(line) | {"status": -1})
        assert told_by_the_export_alone(changed) == number + 1


@tries
@given(events)
def test_a_record_comes_back_from_a_row_as_it_was(one: Event) -> None:
    record = link_all(None, [(AT, one)])[0]
    assert event_of(row_of(record)) == one


def test_a_line_has_the_fields_of_the_record_in_their_order() -> None:
    line = json.loads(next(lines(chain(1))))
    assert " ".join(line) == (
        "ts seq door operation name decision request_id cf_ray principal kind client args_sha256 rules "
        "reason status ms prev hash"
    )
    assert (line["ts"], line["seq"], line["prev"]) == ("2027-01-15T08:00:00.000Z", 1, FIRST)


def test_what_retention_removed_is_told_by_its_checkpoint_and_nothing_more_may_be_gone() -> None:
    whole = chain(6)
    pruned = [*whole[3:], *link_all(head_of(whole), [(AT, checkpoint(whole[2]))])]
    assert first_fault(pruned, pruned) == 4
    assert first_fault(pruned[1:], pruned) == Fault(
        4, "the records from here to 4 are gone, and no checkpoint tells of it"
    )
    without = pruned[:-1]
    assert first_fault(without, pruned) == Fault(
        1, "the records from here to 3 are gone, and no checkpoint tells of it"
    )


def test_a_checkpoint_of_another_record_excuses_nothing() -> None:
    whole = chain(6)
    other = replace(whole[2], hash="f" * 64)
    pruned = [*whole[3:], *link_all(head_of(whole), [(AT, checkpoint(other))])]
    assert isinstance(first_fault(pruned, pruned), Fault)


def test_an_end_without_a_seal_is_found_and_an_empty_log_is_whole() -> None:
    assert verify(chain(2), None, KEY) == Fault(2, "the end of the chain is not sealed")
    assert verify([], None, KEY) == 0
    assert verify([], head_of(chain(2)), KEY) == Fault(1, "the records from here to 2 are cut off")


@pytest.mark.parametrize("seal", ["", "ü" * 64, seal(KEY, 1, "0" * 64)])
def test_a_seal_of_anything_else_is_no_seal(seal: str) -> None:
    records = chain(2)
    head = replace(head_of(records), seal=seal)
    assert verify(records, head, KEY) == Fault(2, "the seal at the end of the chain is not ours")


def test_an_end_that_was_not_ours_stays_a_fault_when_the_log_goes_on() -> None:
    before = chain(2)
    later = link_all(head_of(before), [(AT, unsealed(2)), (AT, event())])
    assert first_fault([*before, *later], later) == Fault(
        3, "the end of the chain before this record was not sealed with our key"
    )


@pytest.mark.parametrize("odd", [{"at": 10**30}, {"at": "soon"}, {"hash": b"x"}, {"prev": None}])
def test_values_that_no_record_has_are_a_change_like_any_other(odd: dict[str, Any]) -> None:
    records = chain(3)
    records[1] = replace(records[1], **odd)
    check = Check()
    assert check.take(records[0]) is None
    fault = check.take(records[1])
    assert fault is not None
    assert fault.seq == 2

"""The table of requirements says what the tests say."""

from __future__ import annotations

import pytest

from . import coverage


def test_every_requirement_has_a_test_or_a_reason_and_the_table_is_of_now() -> None:
    assert coverage.COVERAGE.read_text() == coverage.coverage(), "run: make docs"


def test_no_test_and_no_reason_is_for_a_requirement_that_is_not_there() -> None:
    known = coverage.requirements()
    assert {found for found, _ in coverage.named_tests()} <= known.keys()
    assert coverage.reasons().keys() <= known.keys()


def test_nothing_is_excused_that_is_held() -> None:
    held = {found for found, _ in coverage.named_tests()}
    assert not held & coverage.reasons().keys()


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("test_F4_one", ["F4"]),
        ("test_J10_J11_two", ["J10", "J11"]),
        ("test_A3_to_A5_B1_a_range", ["A3", "A4", "A5", "B1"]),
        ("test_D1_to_be_or_not", ["D1"]),
        ("test_nothing_F4_", []),
    ],
)
def test_a_name_begins_with_the_ids_that_it_holds(name: str, ids: list[str]) -> None:
    assert coverage.ids_in(name) == ids

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .suite import SUITES, Scenario, Verdict, entries_of, expected_failures, judge, read, unknown

MIXED = {"one": "SUCCESS", "two": "FAILURE"}


@pytest.mark.parametrize(
    ("checks", "entries", "word"),
    [
        ({"one": "SUCCESS"}, (), "pass"),
        ({"one": "INFO"}, (), "n/a"),
        (MIXED, (), "FAILS"),
        ({"one": "WARNING"}, (), "FAILS"),
        (MIXED, ("it",), "expected"),
        (MIXED, ("it:two",), "partly"),
        (MIXED, ("it:one",), "FAILS"),
        ({"one": "SUCCESS"}, ("it",), "PASSES"),
        ({"one": "SUCCESS", "two": "SUCCESS"}, ("it:two",), "PASSES"),
        ({"one": "SUCCESS", "two": "SKIPPED"}, ("it:two",), "pass"),
    ],
)
def test_a_scenario_is_judged_by_what_is_listed(
    checks: dict[str, str], entries: tuple[str, ...], word: str
) -> None:
    verdict = judge(Scenario("it", checks), entries)
    assert verdict.word == word
    assert bool(verdict.surprise) == word.isupper()


def test_a_check_that_ran_twice_counts_with_its_worst_result(tmp_path: Path) -> None:
    folder = tmp_path / "server-tools-list-2026-01-02T03-04-05-678Z"
    folder.mkdir()
    twice = [{"id": "one", "status": "FAILURE"}, {"id": "one", "status": "SUCCESS"}]
    (folder / "checks.json").write_text(json.dumps(twice))
    assert read(folder / "checks.json") == Scenario("tools-list", {"one": "FAILURE"})


def test_an_entry_for_a_scenario_that_is_not_run_is_noticed() -> None:
    assert unknown(("gone", "it:one"), [Scenario("it", {})]) == ["gone"]
    assert judge(Scenario("it", {}), ("gone",)) == Verdict("n/a")


@pytest.mark.parametrize("flavour", ["brain", "everything"])
def test_every_server_and_suite_has_its_list(flavour: str) -> None:
    for suite in SUITES:
        assert entries_of(expected_failures(flavour, suite))

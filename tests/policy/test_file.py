"""The policy file while the server runs: a change counts within a second, a broken one never."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from app.policy.file import PolicyFile
from app.policy.parse import PolicyInvalid
from tests.house import Clock

ONE = "version = 1\n[[rule]]\nname = 'one'\nany_person = true\nscopes = []\n"
TWO = ONE.replace("one", "two")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(ONE)
    return path


def rules(file: PolicyFile) -> list[str]:
    return [rule.name for rule in file.current().rules]


def test_a_change_counts_within_a_second(path: Path, clock: Clock) -> None:
    file = PolicyFile(path, clock)
    path.write_text(TWO)
    clock.advance(0.99)
    assert rules(file) == ["two"]


def test_a_change_counts_even_if_size_and_name_stay_the_same_and_the_file_is_replaced(
    path: Path, clock: Clock
) -> None:
    file = PolicyFile(path, clock)
    seen = path.stat()
    other = path.with_suffix(".new")
    other.write_text(TWO)
    os.utime(other, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    other.replace(path)
    clock.advance(1)
    assert rules(file) == ["two"]


def test_a_clock_that_is_set_back_does_not_stop_reloading(path: Path, clock: Clock) -> None:
    file = PolicyFile(path, clock)
    path.write_text(TWO)
    clock.advance(-86400)
    assert rules(file) == ["two"]


@pytest.mark.parametrize("broken", ["version = 2", "", "\x00", ONE + "nonsense = 1"])
def test_a_broken_file_keeps_the_old_policy_and_logs_an_error_that_names_it(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    file = PolicyFile(path, clock)
    path.write_text(broken)
    clock.advance(1)
    assert rules(file) == ["one"]
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert "THE OLD POLICY STAYS IN FORCE" in record.getMessage()
    assert str(path) in record.getMessage()
    assert file.problem is not None


def test_a_broken_file_is_told_once_and_not_at_every_look(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    file = PolicyFile(path, clock)
    path.write_text("nonsense")
    for _ in range(5):
        clock.advance(1)
        file.current()
    assert len([record for record in caplog.records if record.levelno == logging.ERROR]) == 1


def test_a_deleted_file_keeps_the_old_policy(
    path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    file = PolicyFile(path, clock)
    path.unlink()
    clock.advance(1)
    assert rules(file) == ["one"]
    assert "the file is gone" in caplog.text


def test_a_mended_file_counts_and_the_problem_is_gone(path: Path, clock: Clock) -> None:
    file = PolicyFile(path, clock)
    for text in ("nonsense", TWO):
        path.write_text(text)
        clock.advance(1)
        file.current()
    assert (rules(file), file.problem) == (["two"], None)


def test_a_file_that_appears_later_counts(tmp_path: Path, clock: Clock) -> None:
    file = PolicyFile(tmp_path / "policy.toml", clock)
    assert file.current().lan == {"*"}
    (tmp_path / "policy.toml").write_text("version = 1\n[lan]\nscopes = []\n")
    clock.advance(1)
    assert file.current().lan == frozenset()


def test_a_start_on_a_broken_file_is_refused(path: Path, clock: Clock) -> None:
    path.write_text("version = 2\nrules = 1")
    with pytest.raises(PolicyInvalid) as refused:
        PolicyFile(path, clock)
    assert len(refused.value.problems) == 2


def test_a_file_that_is_there_but_cannot_be_reached_is_not_a_missing_one(
    tmp_path: Path, clock: Clock
) -> None:
    loop = tmp_path / "policy.toml"
    loop.symlink_to(loop)
    with pytest.raises(PolicyInvalid, match="cannot be read"):
        PolicyFile(loop, clock)
    with pytest.raises(PolicyInvalid, match="cannot be read"):
        PolicyFile(tmp_path, clock)


def test_a_file_that_cannot_be_reached_any_more_keeps_the_old_policy(path: Path, clock: Clock) -> None:
    file = PolicyFile(path, clock)
    path.unlink()
    path.symlink_to(path)
    clock.advance(1)
    assert rules(file) == ["one"]

"""What an operator reads of a server that does not answer: its own words, and what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from .conftest import RAW
from .test_commands import run, told

TALKATIVE = """
import os, sys
for number in range(30):
    print("line", number, file=sys.stderr)
print("the token is", os.environ.get("A_TOKEN"), file=sys.stderr)
sys.stderr.write("and no end of line")
sys.exit(4)
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "env").write_text(f"DATA_DIR={tmp_path}\n")
    (tmp_path / "raw").mkdir()
    (tmp_path / "talkative.py").write_text(TALKATIVE)
    return tmp_path


def upstreams(place: Path, *entries: str) -> None:
    (place / "upstreams.toml").write_text("\n".join(["version = 1", *entries]) + "\n")


def test_a_program_that_cannot_be_started_is_told_in_its_own_words(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, "upstreams", "add", "own", "--", "no-such-program") == 2
    assert capsys.readouterr().err == (
        "brain: own does not answer: its process ended with exit code 127. "
        "It said: no-such-program cannot be started: No such file or directory\nNothing was written.\n"
    )


def test_the_last_words_of_a_program_are_told_without_its_credentials(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("A_TOKEN", "secret-value-1")
    words = ("--json", "--env", "A_TOKEN", "--", sys.executable, "-S", str(place / "talkative.py"))
    assert run(place, "upstreams", "add", "own", *words) == 2
    said: dict[str, Any] = told(capsys)
    assert said["why"] == "its process ended with exit code 4"
    assert said["said"] == [
        *(f"line {number}" for number in range(22, 30)),
        "the token is [redacted]",
        "and no end of line",
    ]


def test_each_of_several_is_told_with_its_own_words_and_one_that_answers_with_none(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "raw" / "stderr").write_text("said by the one that answers")
    program = [sys.executable, "-S"]
    words = {
        "a": [*program, "-c", "raise SystemExit('said by a')"],
        "b": [*program, str(RAW), str(place / "raw")],
        "c": [*program, "-c", "raise SystemExit('said by c')"],
    }
    upstreams(place, *(f"[upstream.{name}]\ncommand = {json.dumps(one)}" for name, one in words.items()))
    assert run(place, "upstreams", "--json") == 1
    assert [one["said"] for one in told(capsys)["upstreams"]] == [["said by a"], [], ["said by c"]]
    assert run(place, "upstreams") == 1
    said = capsys.readouterr().out
    assert "a (command): DOWN: its process ended with exit code 1; 0 tools\n  It said: said by a\n" in said
    assert "the one that answers" not in said

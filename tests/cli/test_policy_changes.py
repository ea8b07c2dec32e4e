"""`brain policy test`, `diff` and `shadow`, as they are typed."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from app.audit.events import Event
from app.cli.main import main
from app.store.audit import SqlAudit
from app.store.open import open_store
from tests.policy.golden_text import FOLDER, POLICY_FILE

NEW = FOLDER / "policy-new.toml"
EMPTY = "version = 1\n"
HOLDS = "version = 1\n[[case]]\nas = 'lan'\ntool = 'search'\nexpect = 'allow'\n"
NOW_MS = int(time.time() * 1000)
HOUR_MS = 3_600_000


def run(*words: str, env: Path | None = None) -> int:
    return main(["--env-file", str(env or "/dev/null"), "policy", *words])


def test_cases_that_hold_are_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.toml"
    path.write_text(HOLDS)
    assert run("test", str(path)) == 0
    assert capsys.readouterr().out == f"ok    allow  lan  search\n{path}: 1 of 1 cases hold\n"


def test_a_case_that_does_not_hold_is_told_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("test", str(NEW)) == 1
    said = capsys.readouterr().out
    assert (
        "FAIL  allow  bob@example.com  create_note: is deny\n        because needs mcp:tools:write;" in said
    )
    assert said.endswith(f"{NEW}: 3 of 6 cases hold\n")


def test_results_of_cases_are_there_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("test", str(NEW), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], [case["ok"] for case in told["cases"]].count(False)) == (False, 3)


def test_a_policy_without_cases_says_that_nothing_is_tested(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "policy.toml").write_text(EMPTY)
    (tmp_path / "env").write_text(f"DATA_DIR={tmp_path}\n")
    assert run("test", env=tmp_path / "env") == 0
    assert capsys.readouterr().out == f"{tmp_path}/policy.toml: no [[case]] in it, so nothing is tested\n"


def test_two_policies_that_differ_are_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diff", str(POLICY_FILE), str(NEW)) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "- bob@example.com  tool create_note  in main, ~" in lines
    assert "+ lan  tool delete_note  in every space" in lines


def test_a_policy_does_not_differ_from_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diff", str(POLICY_FILE), str(POLICY_FILE)) == 0
    assert capsys.readouterr().out == "no difference\n"
    assert run("diff", str(POLICY_FILE), str(POLICY_FILE), "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_differences_are_there_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("diff", str(POLICY_FILE), str(NEW), "--json") == 1
    assert {
        "sign": "-",
        "who": "bob@example.com",
        "what": "tool",
        "name": "create_note",
        "detail": "in main, ~",
    } in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("verb", ["test", "diff", "shadow"])
@pytest.mark.parametrize("text", [None, b"version = 2\n", b"\xff"])
def test_a_file_that_is_not_usable_is_wrong_usage_and_named(
    tmp_path: Path, verb: str, text: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.toml"
    if text is not None:
        path.write_bytes(text)
    words = (str(POLICY_FILE), str(path)) if verb == "diff" else (str(path),)
    assert run(verb, *words) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("brain: ")
    assert str(path) in said.err


async def keep(folder: Path, *events: tuple[int, Event]) -> Path:
    """A database with these on record, each so many hours ago; the settings file that names it."""
    store = await open_store(f"sqlite:///{folder}/brain.db", now=time.time, new_id=str)
    stamped = [(NOW_MS - hours * HOUR_MS, event) for hours, event in events]
    await SqlAudit(store.database, b"k" * 32).append(stamped)
    await store.close()
    (folder / "env").write_text(f"DATA_DIR={folder}\n")
    return folder / "env"


def call(tool: str, who: str = "bob@example.com") -> Event:
    return Event("tunnel", "tools/call", tool, "allow", principal=who, kind="person")


@pytest.fixture
async def log(tmp_path: Path) -> Path:
    return await keep(
        tmp_path, (100, call("search")), (30, call("create_note")), (2, call("search", "alice@example.com"))
    )


@pytest.mark.parametrize(
    ("words", "code", "calls"), [([], 1, 3), (["--since", "31h"], 1, 2), (["--since", "1d"], 0, 1)]
)
def test_shadow_tells_what_would_have_changed_since_then(
    log: Path, words: list[str], code: int, calls: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("shadow", str(NEW), *words, "--json", env=log) == code
    told = json.loads(capsys.readouterr().out)
    assert told["calls"] == calls
    assert [shift["name"] for shift in told["shifts"]] == ["create_note"] * code


def test_shadow_says_it_to_people(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("shadow", str(NEW), env=log) == 1
    said = capsys.readouterr().out
    assert said.startswith("allow → deny  bob@example.com  tools/call create_note  (20")
    assert said.endswith("1 of 3 calls would or might end otherwise\n")


@pytest.mark.parametrize("since", ["", "h", "0h", "24", "1.5h", "-1h", "1y", "24 h", "٣h", "9" * 9 + "d"])
def test_a_duration_that_is_none_is_wrong_usage(
    log: Path, since: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("shadow", str(NEW), f"--since={since}", env=log) == 2
    assert "write a length of time, like 30m, 24h or 7d" in capsys.readouterr().err


def test_without_an_audit_log_shadow_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env").write_text(f"DATA_DIR={tmp_path}\n")
    assert run("shadow", str(NEW), env=tmp_path / "env") == 2
    assert "there is no audit log yet" in capsys.readouterr().err
    assert not (tmp_path / "brain.db").exists()


@pytest.mark.parametrize("verb", ["test", "diff", "shadow"])
def test_the_exit_codes_are_in_the_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(verb, "--help")
    assert "Exit code: 0 " in capsys.readouterr().out

"""`brain policy check` and `brain policy explain`, as they are typed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from app.cli.main import main
from tests.policy.golden_text import FOLDER, POLICY_FILE

from .brain import brain

BROKEN = "version = 2\nrules = 1\n[lan]\nscopes = ['mcp:tools:reed']\n"
LOOSE = "version = 1\n[scopes.a]\ntools = ['delet_note']\n"


def run(*words: str) -> int:
    """In this process: without the seconds of a new one."""
    return main(["--env-file", "/dev/null", *words])


def test_a_good_policy_is_fine(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("policy", "check", str(POLICY_FILE)) == 0
    assert capsys.readouterr().out == f"{POLICY_FILE}: fine\n"


def test_without_a_file_it_is_the_policy_of_the_settings(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "env").write_text(f"POLICY_FILE={POLICY_FILE}\n")
    assert main(["--env-file", str(tmp_path / "env"), "policy", "check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"file": str(POLICY_FILE), "ok": True, "findings": []}


def test_a_broken_policy_is_told_with_all_its_problems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.toml"
    path.write_text(BROKEN)
    assert run("policy", "check", str(path)) == 1
    assert capsys.readouterr().out.splitlines() == [
        "error   policy.rules: unknown; did you mean `rule`?",
        "error   version: must be 1; write `version = 1` as the first line",
        "error   lan.scopes: unknown scope `mcp:tools:reed`; did you mean `mcp:tools:read`?",
        f"{path}: not fine",
    ]


def test_a_policy_that_names_no_tool_of_ours_is_not_fine(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.toml"
    path.write_text(LOOSE)
    assert run("policy", "check", str(path), "--json") == 1
    told = json.loads(capsys.readouterr().out)
    assert told == {
        "file": str(path),
        "ok": False,
        "findings": [
            {
                "level": "error",
                "place": "scopes.a.tools",
                "what": "no tool is named `delet_note`; did you mean `delete_note`?",
            }
        ],
    }


def test_a_warning_alone_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.toml"
    path.write_text("version = 1\n[[rule]]\nname = 'r'\nany_person = true\nscopes = []\n")
    assert run("policy", "check", str(path)) == 0
    assert "warning rule r: gives no scope, so it changes nothing" in capsys.readouterr().out


def test_a_file_that_is_not_there_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("policy", "check", str(tmp_path / "none.toml")) == 2
    assert "none.toml cannot be read: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("golden", "words"),
    [
        ("person-may-write", ["--as", "Alice@Example.com", "--tool", "create_note"]),
        ("person-may-not-delete", ["--as", "alice@example.com", "--tool", "delete_note"]),
        (
            "person-in-a-group-may-delete",
            ["--as", "olga@example.com", "--tool", "delete_note", "--groups", "ops,x"],
        ),
        ("stranger", ["--as", "eve@elsewhere.example", "--tool", "search"]),
        ("stranger-whoami", ["--as", "eve@elsewhere.example", "--tool", "whoami"]),
        ("service", ["--as", "nightly.access", "--tool", "search"]),
        ("lan", ["--as", "lan", "--tool", "create_note"]),
        ("limits-left-out", ["--as", "eve@contractor.example", "--tool", "search"]),
        (
            "limits-broken",
            [
                "--as",
                "eve@contractor.example",
                "--tool",
                "search",
                "--args",
                '{"limit": 50, "space": "main"}',
            ],
        ),
    ],
)
def test_explain_prints_the_decision(
    golden: str, words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("policy", "explain", "--file", str(POLICY_FILE), *words) == 0
    assert capsys.readouterr().out == (FOLDER / f"explain-{golden}.txt").read_text()


def test_explain_fills_in_the_defaults_of_the_tool(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--as", "eve@contractor.example", "--tool", "search", "--args", '{"space": "public"}', "--json"]
    assert run("policy", "explain", "--file", str(POLICY_FILE), *words) == 0
    assert json.loads(capsys.readouterr().out)["decision"] == "allow"


def test_a_name_that_is_neither_an_email_nor_a_token_says_what_it_is_taken_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for who, warned in (("anna", True), ("nightly.access", False), ("anna@example.com", False)):
        assert run("policy", "explain", "--file", str(POLICY_FILE), "--as", who, "--tool", "search") == 0
        assert ("taken for a service token's id" in capsys.readouterr().err) is warned


def test_explain_without_a_policy_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env").write_text(f"DATA_DIR={tmp_path}\n")
    words = ["policy", "explain", "--as", "lan", "--tool", "create_note", "--json"]
    assert main(["--env-file", str(tmp_path / "env"), *words]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["decision"] == "allow"
    assert said.err == f"brain: no {tmp_path}/policy.toml: the LAN may do everything, the tunnel nobody\n"


def test_explain_knows_the_kill_switch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "env").write_text(f"DATA_DIR={tmp_path}\nPOLICY_FILE={POLICY_FILE}\n")
    env = ["--env-file", str(tmp_path / "env")]
    words = ["policy", "explain", "--as", "alice@example.com", "--tool", "create_note"]
    assert main([*env, "deny", "alice@example.com"]) == 0
    capsys.readouterr()
    assert main([*env, *words]) == 0
    assert capsys.readouterr().out == (FOLDER / "explain-shut-off-alice.txt").read_text()
    assert main([*env, *words, "--file", str(POLICY_FILE)]) == 0
    assert capsys.readouterr().out == (FOLDER / "explain-person-may-write.txt").read_text()


async def test_as_a_process_it_says_the_same(tmp_path: Path) -> None:
    ran = await brain(
        tmp_path, "policy", "explain", "--as", "lan", "--tool", "create_note", POLICY_FILE=str(POLICY_FILE)
    )
    assert (ran.code, ran.out, ran.err) == (0, (FOLDER / "explain-lan.txt").read_text(), "")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--tool", "serch"], "no tool is named serch; there are: append_note, create_note"),
        (["--tool", "search", "--args", "{"], "--args is not JSON: "),
        (["--tool", "search", "--args", "[]"], "--args must be a JSON object, like '{\"limit\": 5}'"),
    ],
)
def test_wrong_usage_of_explain_is_a_sentence(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("policy", "explain", "--file", str(POLICY_FILE), "--as", "lan", *words) == 2
    assert capsys.readouterr().err.startswith(f"brain: {said}")


def test_explain_of_a_broken_policy_tells_its_problems(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "p.toml"
    path.write_text(BROKEN)
    assert run("policy", "explain", "--file", str(path), "--as", "lan", "--tool", "search") == 2
    assert capsys.readouterr().err.count("\n- ") == 3

"""`brain upstreams`, and the policy commands that know tools of upstreams."""

from __future__ import annotations

import json
import logging
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from app.cli.main import main
from app.policy.parse import parse

from .conftest import RAW

OWN = '''
from fastmcp import FastMCP
from mcp_types import ToolAnnotations

mcp = FastMCP("own")

@mcp.tool(annotations=ToolAnnotations(read_only_hint=True))
async def look(word: str) -> str:
    """Looks up."""
    return word

@mcp.tool
async def change(word: str) -> str:
    """Changes."""
    return word
'''
COMMENTED = "# mine\nversion = 1   # of the format\n\nbrain = true\n"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "env").write_text(f"DATA_DIR={tmp_path}\n")
    (tmp_path / "raw").mkdir()
    return tmp_path


def run(place: Path, *words: str) -> int:
    return main(["--env-file", str(place / "env"), *words])


def told(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_add_asks_for_the_tools_writes_the_entry_and_says_what_the_policy_needs(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "upstreams.toml").write_text(COMMENTED)
    assert run(place, "upstreams", "add", "own", str(place / "own.py") + ":mcp", "--pin") == 0
    said = capsys.readouterr().out
    text = (place / "upstreams.toml").read_text()
    assert text == f'{COMMENTED}\n[upstream.own]\npython = "{place}/own.py:mcp"\npin = true\n'
    assert '[scopes."own:read"]\ndescription = "Read with own"\ntools = ["own_look"]' in said
    assert '[scopes."own:write"]\ndescription = "Change things with own"\ntools = ["own_change"]' in said


def test_what_add_suggests_is_a_policy(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "upstreams", "add", "own", str(place / "own.py") + ":mcp", "--json") == 0
    suggested = parse(f"version = 1\n{told(capsys)['policy']}")
    assert [(scope.name, scope.tools) for scope in suggested.own_scopes] == [
        ("own:read", ("own_look",)),
        ("own:write", ("own_change",)),
    ]


def test_what_add_suggests_is_a_whole_policy_where_there_is_none(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("upstreams", "add", "own", str(place / "own.py") + ":mcp")
    assert run(place, *words) == 0
    said = capsys.readouterr().out
    begins, ends = said.index("version = 1\n"), said.index("Take out what")
    assert len(parse(said[begins:ends]).own_scopes) == 2
    (place / "upstreams.toml").unlink()
    (place / "policy.toml").write_text("version = 1\n")
    assert run(place, *words) == 0
    assert "version = 1" not in capsys.readouterr().out


def test_add_passes_on_what_it_is_told_to_and_no_more(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAW_TOKEN", "secret-value-1")
    monkeypatch.setenv("OTHER_TOKEN", "secret-value-2")
    program = [sys.executable, "-S", str(RAW), str(place / "raw")]
    words = ("--json", "--env", "RAW_TOKEN", "--cwd", str(place))
    assert run(place, "upstreams", "add", "raw", *words, "--", *program) == 0
    assert told(capsys)["tools"] == ["raw_echo", "raw_seen", "raw_say", "raw_refuse"]
    text = (place / "upstreams.toml").read_text()
    assert 'env = { RAW_TOKEN = { env = "RAW_TOKEN" } }' in text
    assert "secret-value" not in text
    started = json.loads((place / "raw" / "record").read_text().splitlines()[0])
    assert started["environ"]["RAW_TOKEN"] == "secret-value-1"
    assert "OTHER_TOKEN" not in started["environ"]
    assert started["cwd"] == str(place)
    assert stat.S_IMODE(os.stat(place / "upstreams.toml").st_mode) == 0o600


def test_add_says_what_is_missing_where_the_words_of_a_program_are_taken_for_ours(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(place, "upstreams", "add", "own", "npx", "-y", "some-server")
    assert ended.value.code == 2
    assert (
        "brain: error: unrecognized arguments: -y some-server; a program and its arguments stand after --: "
        "brain upstreams add NAME -- PROGRAM ARGUMENT …\n"
    ) in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(place, "upstreams", "--nothing")
    assert capsys.readouterr().err.endswith("brain: error: unrecognized arguments: --nothing\n")


def test_a_program_named_by_a_path_from_here_is_found_from_where_it_runs(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its other words are its own: nobody else can say which of them are paths."""
    (place / "venv").mkdir()
    (place / "venv" / "python").symlink_to(sys.executable)
    (place / "here").mkdir()
    monkeypatch.chdir(place / "here")
    words = ("../venv/python", "-S", str(RAW), "../raw")
    assert run(place, "upstreams", "add", "raw", "--cwd", ".", "--", *words) == 0
    text = (place / "upstreams.toml").read_text()
    assert f'command = ["{place}/venv/python", "-S", "{RAW}", "../raw"]' in text


def test_add_names_the_resources_as_they_are_here_and_says_which_cannot_be(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resources = {"resources": [{"uri": uri, "name": uri} for uri in ("memo:one", "raw://n")]}
    templates = {"resourceTemplates": [{"uriTemplate": uri, "name": uri} for uri in ("memo:{x}", "{+path}")]}
    answers = {"resources/list": resources, "resources/templates/list": templates}
    (place / "raw" / "answers.json").write_text(json.dumps(answers))
    program = [sys.executable, "-S", str(RAW), str(place / "raw")]
    assert run(place, "upstreams", "add", "raw", "--", *program) == 0
    said = capsys.readouterr().out
    policy = "version = 1\n[lan]\nscopes = ['*']\n[scopes.a]\ntools = ['raw_*']\nresources = ['{}']\n"
    for pattern, warned in (("memo:raw/one", False), ("raw://raw/m", True), ("note://*", False)):
        (place / "policy.toml").write_text(policy.format(pattern))
        assert run(place, "policy", "check") == 0
        assert (f"listed as `{pattern}`" in capsys.readouterr().out) is warned
    assert 'resources = ["memo:raw/one", "raw://raw/n", "memo:raw/{x}"]' in said
    assert "# Left out, no URIs that can be told from those of others: {+path}" in said


def test_a_list_that_never_ends_is_read_to_a_limit(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = {"uri": "raw://one", "name": "one", "description": "x" * 1_000_000}
    (place / "raw" / "answers.json").write_text(
        json.dumps({"resources/list": {"resources": [one], "nextCursor": "more"}})
    )
    program = [sys.executable, "-S", str(RAW), str(place / "raw")]
    assert run(place, "upstreams", "add", "raw", "--", *program) == 2
    assert "its list of resources is larger than 16 MiB" in capsys.readouterr().err


def test_add_may_be_the_first_command_of_all(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "env").write_text(f"DATA_DIR={place / 'data'}\n")
    program = [sys.executable, "-S", str(RAW), str(place / "raw")]
    assert run(place, "upstreams", "add", "raw", "--", *program) == 0
    assert "[upstream.raw] added" in capsys.readouterr().out
    assert stat.S_IMODE((place / "data").stat().st_mode) == 0o700
    assert run(place, "upstreams", "add", "other", "--cwd", "nowhere", "--", *program) == 2
    assert "the folder that it shall run in (`cwd`) is not there" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("bad_name", "own.py:mcp"), "bad_name: not a name for an upstream"),
        (
            ("gone", "http://127.0.0.1:9/mcp"),
            "gone does not answer: it cannot be reached. Nothing was written.",
        ),
        (("gone", "--", "/no/such/program"), "gone does not answer"),
        (("own", "nothing.py:mcp"), "own does not answer: there is no nothing.py"),
    ],
)
def test_what_does_not_answer_is_not_written(
    place: Path, words: tuple[str, ...], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, "upstreams", "add", *words) == 2
    assert why in capsys.readouterr().err
    assert not (place / "upstreams.toml").exists()


def test_the_list_says_state_latency_tools_and_what_nobody_can_use(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "upstreams.toml").write_text(
        'version = 1\n[upstream.own]\npython = "own.py:mcp"\n[upstream.gone]\nurl = "http://127.0.0.1:9/mcp"\n'
    )
    (place / "policy.toml").write_text(
        "version = 1\n[scopes.a]\ntools = ['own_look']\n[lan]\nscopes = ['a']\n"
    )
    assert run(place, "upstreams", "--json") == 1
    own, gone = told(capsys)["upstreams"]
    assert (own["state"], own["tools"]) == ("up", ["own_look", "own_change"])
    assert own["latency_ms"] >= 0
    assert own["nobody_can_use"] == ["own_change"]
    assert (gone["state"], gone["why"]) == ("down", "it cannot be reached")
    assert run(place, "upstreams") == 1
    said = capsys.readouterr().out
    assert "nobody can use yet: own_change" in said
    assert "gone (url): DOWN: it cannot be reached; 0 tools" in said


def test_a_tool_whose_name_is_taken_is_told_as_that(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was told as one that a policy could give to somebody."""
    (place / "own.py").write_text(OWN.replace("def change", "def search"))
    (place / "upstreams.toml").write_text(
        'version = 1\n[upstream.own]\npython = "own.py:mcp"\nnamespace = false\n'
    )
    assert run(place, "upstreams", "--json") == 0
    (own,) = told(capsys)["upstreams"]
    assert (own["tools"], own["nobody_can_use"]) == (["look"], ["look"])
    assert own["taken"] == {"search": "the Brain's own"}
    assert run(place, "upstreams") == 0
    said = capsys.readouterr().out
    assert "  left out, because there is one of that name: search (the Brain's own)\n" in said
    (place / "upstreams.toml").write_text(f"brain = false\n{(place / 'upstreams.toml').read_text()}")
    assert run(place, "upstreams", "--json") == 0
    assert told(capsys)["upstreams"][0]["tools"] == ["look", "search"]


def test_asking_several_at_once_hides_what_they_say_then_and_nothing_later(
    place: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first has gone while the second, which answers later, is still asked."""
    (place / "raw" / "stderr").write_text("said while it was asked")
    raw = f'command = ["{sys.executable}", "-S", "{RAW}", "{place / "raw"}"]'
    gone = 'command = ["/nowhere/at/all"]'
    (place / "upstreams.toml").write_text(f"version = 1\n[upstream.a]\n{gone}\n[upstream.b]\n{raw}\n")
    caplog.set_level(logging.INFO)
    assert run(place, "upstreams") == 1
    assert "b (command): up" in capsys.readouterr().out
    assert "said while it was asked" not in caplog.text
    assert logging.getLogger("brain.upstreams").isEnabledFor(logging.INFO)


def test_the_policy_commands_know_tools_of_upstreams(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = place / "policy.toml"
    policy.write_text(
        "version = 1\n[scopes.a]\ntools = ['own_look']\n"
        "[[rule]]\nname = 'r'\nany_person = true\nscopes = ['a']\n"
        "limits = [{ tool = 'own_look', arg = 'word', max_length = 5 }]\n"
    )
    (place / "upstreams.toml").write_text('version = 1\n[upstream.own]\npython = "own.py:mcp"\n')
    assert run(place, "policy", "check", "--json") == 0
    [finding, *_] = [one for one in told(capsys)["findings"] if "not reached" in one["what"]]
    assert finding["level"] == "warning"
    (place / "upstreams.toml").unlink()
    assert run(place, "upstreams", "add", "own", str(place / "own.py") + ":mcp") == 0
    capsys.readouterr()
    assert run(place, "policy", "check", "--json") == 0
    assert [one["what"] for one in told(capsys)["findings"]] == [
        "in no scope, so nobody sees them: own_change"
    ]
    who = ("--as", "alice@example.com", "--json")
    for tool, args, decision in (
        ("own_look", '{"word": "x"}', "allow"),
        ("own_look", '{"word": "too long"}', "deny"),
        ("own_change", '{"word": "x"}', "deny"),
    ):
        assert run(place, "policy", "explain", *who, "--tool", tool, "--args", args) == 0
        assert told(capsys)["decision"] == decision
    policy.write_text("version = 1\n[scopes.a]\ntools = ['own_lok']\n[lan]\nscopes = ['a']\n")
    assert run(place, "policy", "check") == 1
    assert "no tool is named `own_lok`; did you mean `own_look`?" in capsys.readouterr().out


def test_a_broken_file_is_told_whole(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "upstreams.toml").write_text("version = 2\n[upstream.a]\n")
    assert run(place, "upstreams") == 2
    said = capsys.readouterr().err
    assert "version: must be 1" in said
    assert "upstream.a: say exactly one of python, command, url" in said


def test_there_is_nothing_to_accept_of_nobody(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "upstreams", "accept", "nobody") == 2
    assert "no upstream is named nobody; there are: none" in capsys.readouterr().err

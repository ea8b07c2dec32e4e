"""The documents are held to the code: what they name exists, and what exists is named."""

from __future__ import annotations

import argparse
import re
import tomllib
from pathlib import Path

import pytest

from app import __version__
from app.catalogue import catalogue
from app.cli.main import parser
from app.cli.policy_files import known_tools
from app.cli.tunnel_provision import PERMISSIONS
from app.pages.connect import lan_snippets
from app.policy.cases import run_cases
from app.policy.check import Tool, check
from app.policy.parse import parse
from app.policy.rules import BUILT_IN

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def commands() -> list[str]:
    subparsers = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return list(subparsers.choices)


@pytest.mark.parametrize(
    "promise", re.findall(r"`(tests/[^`]+\.py)::(\w+)`", (ROOT / "SECURITY.md").read_text())
)
def test_every_promise_of_security_md_names_a_test_that_exists(promise: tuple[str, str]) -> None:
    file, name = promise
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_the_newest_entry_of_the_changelog_is_this_version() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__


@pytest.mark.parametrize("command", commands())
def test_every_command_is_in_the_readme(command: str) -> None:
    assert f"brain {command}" in README


async def test_every_tool_is_in_the_readme() -> None:
    for tool in await catalogue():
        assert f"`{tool.name}`" in README


@pytest.mark.parametrize("scope", BUILT_IN)
def test_every_built_in_scope_is_in_the_readme(scope: str) -> None:
    assert f"`{scope}`" in README


def test_the_readme_connects_each_client_as_the_command_does() -> None:
    squeezed = re.sub(r"\s+", "", README)
    for snippet in lan_snippets("http://127.0.0.1:8084/mcp"):
        assert re.sub(r"\s+", "", snippet.text) in squeezed


def test_every_make_target_of_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w[\w-]*)", README, re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists()


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_the_lock_names_no_index_and_hashes_everything(lock: str) -> None:
    text = (ROOT / lock).read_text()
    assert "://" not in text
    pins = re.findall(r"^([a-z0-9._-]+)(?:\[[\w,]+\])?==", text, re.MULTILINE)
    assert len(pins) > 50
    assert text.count("--hash=sha256:") >= len(pins)


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = (ROOT / "requirements.lock").read_text()
    for dependency in project["dependencies"]:
        name = re.match(r"[a-z0-9-]+", dependency)
        assert name is not None
        assert re.search(rf"^{name[0]}(\[\w+\])?==", locked, re.MULTILINE)


def test_the_policy_in_the_readme_is_fine_and_does_what_its_cases_say() -> None:
    (text,) = re.findall(r"```toml\n(version = 1\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    policy, tools = parse(text), known_tools()
    assert check(policy, tools) == ()
    results = run_cases(policy, tools)
    assert len(results) == 3
    assert all(result.ok for result in results)


FILE_TOOLS = ("files_write_file", "files_edit_file", "files_create_directory")
CASE = """
[[case]]
as = "alice@example.com"
tool = "{tool}"
args = {{ path = "{path}" }}
expect = "{expect}"
"""


def test_in_the_readme_alice_writes_below_the_shared_folder_with_every_tool_and_nowhere_else() -> None:
    (text,) = re.findall(r"```toml\n# policy.toml\n(.*?)```", README, re.DOTALL)
    (scope,) = (scope for scope in parse(text).own_scopes if scope.name == "files:write")
    assert scope.tools == FILE_TOOLS
    for tool in FILE_TOOLS:
        for path, expect in (("/srv/files/shared/a.txt", "allow"), ("/srv/files/a.txt", "deny")):
            text += CASE.format(tool=tool, path=path, expect=expect)
    schema = {"type": "object", "properties": {"path": {"type": "string"}}}
    results = run_cases(parse(text), [Tool(tool, False, schema, named_only=True) for tool in FILE_TOOLS])
    assert [result.ok for result in results] == [True] * 6


def test_the_readme_lists_the_permissions_of_the_api_token_and_no_others() -> None:
    told = re.findall(r"^   \| (Account|Zone) \| ([^|]+?) \|", README, re.MULTILINE)
    assert tuple(f"{of} → {what}" for of, what in told) == PERMISSIONS

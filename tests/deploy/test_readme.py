"""deploy/README.md names what is in the folder, and what it names is there."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from app.cli.main import main, parser
from app.settings import read
from app.settings.table import TABLE

from .files import BRAIN_ENV, DEPLOY, README, ROOT, SERVICES, UNITS, unit, with_comments_taken_away

FILES = [
    path.relative_to(DEPLOY).as_posix()
    for path in DEPLOY.rglob("*")
    if path.is_file()
    and path.name not in ("README.md", ".env")
    and not {"config", "secrets"} & set(path.relative_to(DEPLOY).parts)
]
NAMES = {variable.name for variable in TABLE}


@pytest.mark.parametrize("file", FILES)
def test_every_file_of_the_folder_is_in_the_readme(file: str) -> None:
    assert f"({file})" in README


def test_every_link_leads_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ")).lower().replace(" ", "-")
        for line in README.splitlines()
        if line.startswith("#")
    }
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert target[1:] in headings if target.startswith("#") else (DEPLOY / target).exists()


def test_every_setting_that_the_readme_names_exists() -> None:
    named = set(re.findall(r"`([A-Z]+_[A-Z_]+)(?:=[^`]*)?`", README))
    assert named
    assert named <= NAMES


def test_every_command_of_ours_in_the_readme_exists() -> None:
    subparsers = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    said = set(
        re.findall(
            r"\bbrain (?:--env-file \S+ )?([a-z]+)\b", re.sub(r"^\|.*\n", "", README, flags=re.MULTILINE)
        )
    )
    assert {"ready", "backup", "policy", "restore"} <= said
    assert said <= {*subparsers.choices}


def test_the_ports_and_addresses_are_those_of_the_settings() -> None:
    opened = read(with_comments_taken_away(BRAIN_ENV))
    assert f"`http://{opened.tunnel_door}`" in README
    (alias,) = SERVICES["server"]["networks"]["tunnel"]["aliases"]
    assert f"`http://{alias}:8085`" in README
    assert f"{read({}, BRAIN_ENV).lan_door}" in README


def test_the_path_of_every_unit_and_setting_is_the_one_that_is_installed() -> None:
    for name in UNITS:
        for path in unit(name).get("Service", {}).get("LoadCredential", []):
            assert path.partition(":")[2] in README
    assert "/etc/brain-mcp/brain.env" in README
    assert (
        "install -m 0644 systemd/brain-mcp*.service systemd/brain-mcp*.timer /etc/systemd/system/" in README
    )


def test_what_is_secret_is_kept_out_of_the_repository() -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert {".env", "deploy/config/", "deploy/secrets/"} <= set(ignored)


def test_the_example_policy_is_fine_and_its_cases_hold(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    example = str(DEPLOY / "policy.example.toml")
    assert main(["policy", "check", example]) == 0
    assert main(["policy", "test", example]) == 0
    assert "cases hold" in capsys.readouterr().out

"""The files of deploy/, taken apart."""

from __future__ import annotations

import re
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from dotenv import dotenv_values

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
README = (DEPLOY / "README.md").read_text()
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
UNITS = {path.name: path.read_text() for path in sorted((DEPLOY / "systemd").glob("brain-mcp*"))}
BRAIN_ENV = DEPLOY / "systemd" / "brain.env"

DIGEST = r"@sha256:[0-9a-f]{64}"
# `systemctl` and Compose both speak of seconds like this.
SECONDS = re.compile(r"(\d+)s")


def instructions() -> list[tuple[str, str]]:
    """Of the Dockerfile, in order: instruction and what it says, continued lines joined."""
    text = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE))
    return [
        (word, said.strip()) for word, _, said in (line.partition(" ") for line in text.splitlines()) if word
    ]


def final_stage() -> list[tuple[str, str]]:
    found = instructions()
    last = max(index for index, (word, _) in enumerate(found) if word == "FROM")
    return found[last:]


def unit(name: str) -> dict[str, dict[str, list[str]]]:
    """Section → key → its values, in order; systemd lets a key stand several times."""
    sections: dict[str, dict[str, list[str]]] = {}
    keys: dict[str, list[str]] = {}
    for line in UNITS[name].splitlines():
        if line.startswith("["):
            keys = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, value = line.partition("=")
            keys.setdefault(key, []).append(value)
    return sections


def image_environment() -> dict[str, str]:
    said = " ".join(said for word, said in final_stage() if word == "ENV")
    return dict(re.findall(r"(\w+)=(\S+)", said))


def with_comments_taken_away(file: Path) -> dict[str, str]:
    """What a settings file says once every `#NAME=…` of it counts."""
    text = re.sub(r"^#(?=[A-Z_]+=)", "", file.read_text(), flags=re.MULTILINE)
    return {
        name: value or "" for name, value in dotenv_values(stream=StringIO(text), interpolate=False).items()
    }


def interpolated(text: str, **variables: str) -> str:
    """As Compose does it, for the three forms that compose.yaml uses; the innermost comes first."""
    pattern = re.compile(r"\$\{(\w+)(?::([-+])([^${}]*))?\}")
    while match := pattern.search(text):
        name, how, word = match.groups()
        value = variables.get(name, "")
        if how == "-":
            value = value or word
        elif how == "+":
            value = word if value else ""
        text = text[: match.start()] + value + text[match.end() :]
    return text


def compose_environment(service: str, **variables: str) -> dict[str, str]:
    """What the container is started with: of the image, then of compose.yaml."""
    said = {
        name: interpolated(str(value), **variables)
        for name, value in SERVICES[service]["environment"].items()
    }
    return {**image_environment(), **variables, **said}

"""The credentials of an upstream, read from where its entry says they are, each time it is connected."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from app.errors import AppError
from app.upstreams.entries import Command, Entry, Url, Value

MAX_BYTES = 64 * 1024
WHERE = (
    "set it in the environment in which the server starts (.env is for the Brain's own), "
    'or keep it in a file: bearer_file, or { file = "path" } for a header or a variable'
)
# What a process is given of our environment: nothing that is ours, enough to find its programs.
PASSED_ON = ("HOME", "LANG", "LC_ALL", "LC_CTYPE", "LOGNAME", "PATH", "SHELL", "TMPDIR", "TZ", "USER")
_SOUNDS_SECRET = re.compile(r"auth|bearer|cookie|credential|key|pass|pat\b|secret|token", re.IGNORECASE)


class CredentialMissing(AppError):
    """Why, naming the variable or file, never a value. `detail`: the same, and where it belongs."""

    code = "credential_missing"
    status = 503


@dataclass(frozen=True, slots=True)
class Credentials:
    """`secrets`: values that must not come back from the upstream."""

    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)


def credentials(entry: Entry, environ: Mapping[str, str], folder: Path) -> Credentials:
    """`folder`: what relative paths are relative to. Raises CredentialMissing."""
    if isinstance(entry.to, Command):
        own = {name: _text(value, environ, folder) for name, value in entry.to.env}
        passed = {name: environ[name] for name in PASSED_ON if name in environ}
        return Credentials(env=passed | own, secrets=tuple(_secret(entry.to.env, own)))
    if isinstance(entry.to, Url):
        headers = {name: _text(value, environ, folder) for name, value in entry.to.headers}
        secrets = list(_secret(entry.to.headers, headers))
        secrets += [secret.rpartition(" ")[2] for secret in secrets]  # `Basic …` is known by its second word
        if entry.to.bearer is not None:
            bearer = _text(entry.to.bearer, environ, folder)
            headers["Authorization"] = f"Bearer {bearer}"
            secrets.append(bearer)
        for name, text in headers.items():
            if not text.isascii():
                raise CredentialMissing(f"the header {name} would hold letters that no header can hold")
        return Credentials(headers=headers, secrets=tuple(secrets))
    return Credentials()


def located(folder: Path, path: str) -> Path:
    """A path of the file: relative to the file's folder, `~` is ours."""
    return folder / Path(path).expanduser()


def _secret(values: Iterable[tuple[str, Value]], texts: Mapping[str, str]) -> Iterable[str]:
    for name, value in values:
        if value.source != "text" or _SOUNDS_SECRET.search(name):
            yield texts[name]


def _text(value: Value, environ: Mapping[str, str], folder: Path) -> str:
    if value.source == "text":
        return value.text
    if value.source == "env":
        if not (text := environ.get(value.text, "").strip()):
            why = f"the variable {value.text} is not set"
            raise CredentialMissing(why, detail=f"{why}; {WHERE}")
    else:
        path = located(folder, value.text)
        try:
            with path.open("rb") as opened:
                text = opened.read(MAX_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError):
            raise CredentialMissing(f"{path} cannot be read") from None
        if not text:
            raise CredentialMissing(f"{path} is empty")
    if not text.isprintable():
        raise CredentialMissing(f"{value.text} holds more than one line")
    return text

"""What is kept on this machine of what was made at Cloudflare: DATA_DIR/tunnel, for its owner's eyes alone.

`state.json` says what is where; each secret is in a file of its own. All are 0600 and written whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from app.errors import AppError
from app.provision.named import Named
from app.provision.state import State

VERSION = 1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class StateUnusable(AppError):
    code = "state_unusable"


class AtWork(AppError):
    code = "at_work"


class BadName(AppError):
    code = "bad_name"


@dataclass(frozen=True)
class TunnelFiles:
    """`folder`: DATA_DIR/tunnel."""

    folder: Path

    @property
    def state_file(self) -> Path:
        return self.folder / "state.json"

    @property
    def token_file(self) -> Path:
        """For `cloudflared tunnel run --token-file`."""
        return self.folder / "token"

    @property
    def config_file(self) -> Path:
        """For `cloudflared tunnel --config`."""
        return self.folder / "config.yml"

    def state(self) -> State | None:
        """None before the first step. Raises StateUnusable."""
        try:
            value = json.loads(self.state_file.read_bytes())
            if value.pop("version") != VERSION:
                raise ValueError("written by another version")
            pending = value.pop("pending")
            auds = tuple(value.pop("auds"))
            told = value.pop("told", None)
            return State(
                **value,
                auds=auds,
                pending=(pending[0], pending[1]) if pending else None,
                told=tuple(Named(**one) for one in told) if told is not None else None,
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
            raise StateUnusable(
                f"{self.state_file} cannot be used ({problem}). Move it away: what is at Cloudflare is then "
                "found by its name."
            ) from None

    def keep_state(self, state: State) -> None:
        self._write(self.state_file, json.dumps({"version": VERSION, **asdict(state)}, indent=2) + "\n")

    def keep_token(self, token: str) -> None:
        """The connector's. Only written where it is another."""
        if _read(self.token_file) != token:
            self._write(self.token_file, token)

    def keep_config(self, text: str) -> Path:
        self._write(self.config_file, text)
        return self.config_file

    def service_token_file(self, name: str) -> Path:
        """Raises BadName: the name is also that of a file."""
        if not _NAME.fullmatch(name):
            raise BadName(
                f"{name!r} cannot be a service token's name: use letters, digits, `.`, `_` and `-`."
            )
        return self.folder / "service-tokens" / f"{name}.json"

    def keep_service_token(self, name: str, value: Mapping[str, Any]) -> Path:
        path = self.service_token_file(name)
        self._write(path, json.dumps(value, indent=2) + "\n")
        return path

    def kept_service_token(self, name: str) -> Path | None:
        """Its file, if there is one."""
        try:
            path = self.service_token_file(name)
        except BadName:  # of one that was made elsewhere
            return None
        return path if path.exists() else None

    def forget_service_token(self, name: str) -> None:
        self.service_token_file(name).unlink(missing_ok=True)

    def forget(self) -> None:
        """When nothing of ours is left at Cloudflare. The log of cloudflared and the like stay."""
        tokens = self.folder / "service-tokens"
        unfinished = [*self.folder.glob(".*.new"), *tokens.glob(".*.new")]
        for path in [*tokens.glob("*.json"), *unfinished, self.token_file, self.state_file]:
            path.unlink(missing_ok=True)

    def forget_token(self) -> None:
        """When its tunnel is gone."""
        self.token_file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Raises AtWork while another process has it, StateUnusable where there can be no lock."""
        try:
            _make(self.folder)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as problem:
            raise StateUnusable(f"{self.folder} cannot be used: {problem.strerror}.") from None
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise AtWork(
                    "Another `brain tunnel` is changing things at Cloudflare. Let it finish first."
                ) from None
            yield
        finally:
            os.close(descriptor)

    def _write(self, path: Path, text: str) -> None:
        """All or nothing, and there after a power cut. Raises StateUnusable."""
        try:
            _make(path.parent)
            # A new file under a name of its own, 0600: never one, or a link, that somebody has put there.
            descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
            try:
                with os.fdopen(descriptor, "w") as out:
                    out.write(text)
                    out.flush()
                    os.fsync(out.fileno())
                Path(name).replace(path)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            _sync(path.parent)
        except OSError as problem:
            raise StateUnusable(f"{path} cannot be written: {problem.strerror}.") from None


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _make(folder: Path) -> None:
    """With all above it that is not there yet: for their owner alone."""
    if not folder.is_dir():
        _make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None

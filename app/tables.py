"""TOML files of the operator, read strictly: every mistake with its place and its fix, all in one run."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from typing import Any

MAX_BYTES = 1024 * 1024


class Table:
    """A TOML table that is read field by field; what is wrong goes to `problems`, a default comes back."""

    def __init__(self, data: Mapping[str, Any], place: str, problems: list[str]) -> None:
        self.data, self.place, self.problems = data, place, problems

    def wrong(self, field: str, what: str) -> None:
        self.problems.append(f"{self.place}.{field}: {what}")

    def only(self, *fields: str) -> None:
        for field in sorted(self.data.keys() - set(fields)):
            close = difflib.get_close_matches(field, fields, 1)
            hint = f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(fields)}"
            self.wrong(field, f"unknown; {hint}")

    def version_one(self) -> None:
        if self.data.get("version") != 1:
            self.problems.append("version: must be 1; write `version = 1` as the first line")

    def text(self, field: str, default: str | None = None) -> str:
        value = self.data.get(field, default)
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value
        self.wrong(field, "must be a text that is not empty")
        return ""

    def texts(self, field: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self.data.get(field, list(default))
        if isinstance(value, list) and all(
            isinstance(one, str) and one.strip() == one and one and one.isprintable() for one in value
        ):
            return tuple(value)
        self.wrong(field, 'must be a list of texts, like ["a", "b"]')
        return ()

    def flag(self, field: str, *, default: bool = False) -> bool:
        value = self.data.get(field, default)
        if not isinstance(value, bool):
            self.wrong(field, "must be true or false")
            return default
        return value

    def whole(self, field: str, default: int, *, least: int = 1, most: int) -> int:
        value = self.data.get(field, default)
        if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
            return value
        self.wrong(field, f"must be a whole number, {least} to {most}")
        return default

    def table(self, field: str) -> Table:
        value = self.data.get(field, {})
        if not isinstance(value, dict):
            self.wrong(field, 'must be a table, like { name = "value" }')
            value = {}
        return Table(value, f"{self.place}.{field}", self.problems)


def read_toml(text: str | bytes) -> dict[str, Any]:
    """Raises ValueError with what keeps it from being read."""
    if len(text) > MAX_BYTES:
        raise ValueError(f"larger than {MAX_BYTES} bytes")
    try:
        return tomllib.loads(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError("not UTF-8; save the file as UTF-8") from None
    except (ValueError, RecursionError) as problem:  # ValueError: also a number of thousands of digits
        raise ValueError(f"not TOML: {str(problem).partition(';')[0]}") from None


def one_line(problem: str) -> str:
    """Keys of the file may hold line ends."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in problem)

"""Limits on the arguments of a call: which values a rule allows.

A value that a limit cannot judge (missing, of another type) does not pass: the tool might take it for
something wider.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from posixpath import normpath
from typing import Any, Literal

LimitKind = Literal["one_of", "matches", "max", "min", "max_length", "under"]
LIMIT_KINDS: tuple[LimitKind, ...] = ("one_of", "matches", "max", "min", "max_length", "under")


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit: argument `arg` of the tools that `tool` names (exact, or a trailing `*`)."""

    tool: str
    arg: str
    kind: LimitKind
    value: Any  # a tuple for one_of: a Limit is hashable

    def describe(self) -> str:
        """The limit in the words that a person reads in a tool's description and in a denial."""
        match self.kind:
            case "one_of":
                return f"{self.arg} must be one of: {', '.join(map(str, self.value))}"
            case "matches":
                return f"{self.arg} must match {self.value}"
            case "max":
                return f"{self.arg} must be at most {self.value}"
            case "min":
                return f"{self.arg} must be at least {self.value}"
            case "max_length":
                return f"{self.arg} must be at most {self.value} long"
            case "under":
                return f"{self.arg} must be a path under {self.value}"

    def allows(self, arguments: Mapping[str, Any]) -> bool:
        """`arguments` as the tool will see them, defaults filled in."""
        value = arguments.get(self.arg)
        if isinstance(value, list) and self.kind != "max_length":
            return bool(value) and all(self._allows(one) for one in value)
        return self._allows(value)

    def _allows(self, value: Any) -> bool:
        match self.kind:
            case "one_of":
                return any(type(value) is type(one) and value == one for one in self.value)
            case "matches":
                return isinstance(value, str) and _matches(self.value, value)
            case "max":
                return _is_number(value) and value <= self.value
            case "min":
                return _is_number(value) and value >= self.value
            case "max_length":
                return isinstance(value, str | list) and len(value) <= self.value
            case "under":
                return isinstance(value, str) and is_under(value, self.value)


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Any:
    """A pattern of the linear-time engine. Raises ValueError with what is wrong with it."""
    import re2  # a tenth of a second and 2 MB, for policies that have such a limit

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as problem:
        said = problem.args[0]
        raise ValueError(said.decode() if isinstance(said, bytes) else str(said)) from None


def is_under(path: str, folder: str) -> bool:
    """Lexically: no `..`, no NUL, no backslash, and inside `folder`. Links are the tool's to check."""
    if "\0" in path or "\\" in path or ".." in path.split("/"):
        return False
    inside, base = normpath(path), normpath(folder)
    return inside == base or inside.startswith(base.rstrip("/") + "/")


def defaults_of(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults in a tool's input schema: what the tool sees where a caller gives nothing."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    return {
        name: part["default"]
        for name, part in properties.items()
        if isinstance(part, Mapping) and "default" in part
    }


def _matches(pattern: str, value: str) -> bool:
    try:
        return compile_pattern(pattern).fullmatch(value) is not None
    except UnicodeEncodeError:  # half a surrogate pair is no text
        return False


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""The entries of upstreams.toml. All problems at once, each with its place and its fix."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from app.errors import AppError
from app.tables import Table, one_line, read_toml

Source = Literal["text", "env", "file"]
Transport = Literal["http", "sse"]

# Without `_`: `a_b` + `c` and `a` + `b_c` would be one tool. Names that read like the Brain's own are out.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_OWN = frozenset(
    {"append", "brain", "create", "delete", "fetch", "list", "note", "restore", "search", "update"}
)
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
# Headers that belong to the transport, or that say who calls.
_KEPT_HEADERS = frozenset(
    {"accept", "connection", "content-length", "content-type", "host", "mcp-method", "mcp-name"}
    | {"mcp-protocol-version", "mcp-session-id", "transfer-encoding", "x-brain-principal"}
)
_SHARED = ("namespace", "trust_annotations", "pin", "tell_caller", "timeout", "concurrency", "max_result_kb")
_FIELDS = {
    "python": (),
    "command": ("env", "cwd", "memory_mb"),
    "url": ("headers", "bearer_env", "bearer_file", "transport"),
}


class UpstreamsInvalid(AppError):
    """`problems` has one line for each thing to mend: `place: what is wrong; what to do`."""

    code = "upstreams_invalid"
    status = 500

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(map(one_line, problems))
        super().__init__("The upstreams file has problems:\n" + "\n".join(f"- {p}" for p in self.problems))


@dataclass(frozen=True, slots=True)
class Value:
    """A text of the file itself, or where it is: a variable of our environment, or a file."""

    source: Source
    text: str


@dataclass(frozen=True, slots=True)
class Python:
    """A FastMCP object of a file, in this process."""

    file: str
    name: str


@dataclass(frozen=True, slots=True)
class Command:
    """A process of its own that speaks MCP on standard input and output. `memory_mb` 0: no limit."""

    words: tuple[str, ...]
    env: tuple[tuple[str, Value], ...] = ()
    cwd: str = ""
    memory_mb: int = 0


@dataclass(frozen=True, slots=True)
class Url:
    """A server that is reached over HTTP. `bearer` becomes `Authorization: Bearer …`."""

    url: str
    transport: Transport = "http"
    bearer: Value | None = None
    headers: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """One upstream. `timeout`: seconds for a call; `concurrency`: calls at once; `max_result`: bytes."""

    name: str
    to: Python | Command | Url
    namespace: bool = True
    trust_annotations: bool = False
    pin: bool = False
    tell_caller: bool = False
    timeout: int = 60
    concurrency: int = 16
    max_result: int = 4096 * 1024

    @property
    def prefix(self) -> str:
        """What its names begin with here."""
        return f"{self.name}_" if self.namespace else ""

    @property
    def kind(self) -> str:
        return {Python: "python", Command: "command", Url: "url"}[type(self.to)]


@dataclass(frozen=True, slots=True)
class Upstreams:
    """The whole file. `brain`: the Brain's own note tools are there."""

    entries: tuple[Entry, ...] = ()
    brain: bool = True


def parse(text: str | bytes) -> Upstreams:
    """Raises UpstreamsInvalid."""
    try:
        data = read_toml(text)
    except ValueError as problem:
        raise UpstreamsInvalid([str(problem)]) from None
    problems: list[str] = []
    table = Table(data, "upstreams", problems)
    table.only("version", "brain", "upstream")
    table.version_one()
    brain = table.flag("brain", default=True)
    entries = tuple(_entry(name, part) for name, part in _named(table))
    bare = [entry.name for entry in entries if not entry.namespace]
    if len(bare) > 1:
        problems.append(f"namespace: only one upstream may be without it; there are {', '.join(bare)}")
    if problems:
        raise UpstreamsInvalid(problems)
    return Upstreams(entries, brain)


def _named(table: Table) -> list[tuple[str, Table]]:
    value = table.data.get("upstream", {})
    if not isinstance(value, dict) or not all(isinstance(one, dict) for one in value.values()):
        table.wrong("upstream", "must be written as [upstream.name]")
        return []
    return [(name, Table(one, f"upstream.{name}", table.problems)) for name, one in value.items()]


def _entry(name: str, table: Table) -> Entry:
    if (problem := name_problem(name)) is not None:
        table.problems.append(f"{table.place}: {problem}")
    kinds = [kind for kind in _FIELDS if kind in table.data]
    if not kinds and (near := _near_kinds(table)):
        for field, kind in near.items():
            table.wrong(field, f"unknown; did you mean `{kind}`?")
        return Entry(name, Python("", ""))
    if len(kinds) != 1:
        table.problems.append(f"{table.place}: say exactly one of {', '.join(_FIELDS)}")
        return Entry(name, Python("", ""))
    table.only(kinds[0], *_FIELDS[kinds[0]], *_SHARED)
    to = {"python": _python, "command": _command, "url": _url}[kinds[0]](table)
    return Entry(
        name,
        cast(Any, to),
        namespace=table.flag("namespace", default=True),
        trust_annotations=table.flag("trust_annotations"),
        pin=table.flag("pin"),
        tell_caller=table.flag("tell_caller"),
        timeout=table.whole("timeout", 60, most=3600),
        concurrency=table.whole("concurrency", 16, most=1000),
        max_result=table.whole("max_result_kb", 4096, most=65536) * 1024,
    )


def _near_kinds(table: Table) -> dict[str, str]:
    known = {*_SHARED, *(field for fields in _FIELDS.values() for field in fields)}
    near = {
        field: difflib.get_close_matches(field, _FIELDS, 1) for field in sorted(table.data.keys() - known)
    }
    return {field: kinds[0] for field, kinds in near.items() if kinds}


def name_problem(name: str) -> str | None:
    if not _NAME.fullmatch(name):
        return "not a name for an upstream; use a-z, 0-9 and `-`, like `github`"
    return "reads like a tool of the Brain; take another name" if name in _OWN else None


def _python(table: Table) -> Python:
    file, colon, name = table.text("python").rpartition(":")
    if not colon or not file or not name.isidentifier():
        table.wrong("python", "must be FILE:NAME, like `my_server.py:mcp`")
    return Python(file, name)


def _command(table: Table) -> Command:
    words = table.texts("command")
    if not words:
        table.wrong("command", 'must be the program and its arguments, like ["npx", "-y", "some-server"]')
    env = _values(table.table("env"), _VARIABLE, "a name for a variable")
    cwd = table.text("cwd") if "cwd" in table.data else ""
    return Command(words, env, cwd, table.whole("memory_mb", 0, least=0, most=1_000_000))


def _url(table: Table) -> Url:
    url = table.text("url")
    if (problem := _url_problem(url)) is not None:
        table.wrong("url", problem)
    sources: tuple[Source, ...] = ("env", "file")
    bearers = [Value(one, table.text(f"bearer_{one}")) for one in sources if f"bearer_{one}" in table.data]
    if len(bearers) > 1:
        table.wrong("bearer_file", "say one of bearer_env and bearer_file")
    headers = _values(table.table("headers"), _HEADER, "a name for a header")
    names = [name.lower() for name, _ in headers]
    for name in sorted(_KEPT_HEADERS.intersection(names)):
        table.wrong("headers", f"`{name}` is set by the transport")
    if bearers and "authorization" in names:
        table.wrong("headers", "`authorization` is there already, from the bearer")
    transport = table.text("transport", "sse" if urlsplit_path(url).endswith("/sse") else "http")
    if transport not in ("http", "sse"):
        table.wrong("transport", 'must be "http" (streamable HTTP) or "sse" (legacy)')
    return Url(url, cast(Transport, transport), bearers[0] if bearers else None, headers)


def urlsplit_path(url: str) -> str:
    try:
        return urlsplit(url).path.rstrip("/")
    except ValueError:
        return ""


def _url_problem(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return "not a URL"
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        return "must be http://… or https://…"
    if "@" in parts.netloc:
        return "holds a name or password; use bearer_env, bearer_file or headers"
    return None


def _values(table: Table, names: re.Pattern[str], what: str) -> tuple[tuple[str, Value], ...]:
    found = []
    for name, value in table.data.items():
        if not names.fullmatch(name):
            table.wrong(name, f"not {what}")
        elif isinstance(value, str) and value.isprintable():
            found.append((name, Value("text", value)))
        elif (
            isinstance(value, dict)
            and len(value) == 1
            and (kind := next(iter(value))) in ("env", "file")
            and isinstance(value[kind], str)
            and value[kind].strip()
        ):
            found.append((name, Value(cast(Source, kind), value[kind])))
        else:
            table.wrong(name, 'must be a text, { env = "VARIABLE" } or { file = "path" }')
    return tuple(found)

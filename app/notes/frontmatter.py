"""The YAML between the `---` lines: `title` and `tags` are read and edited, all else is left alone.

YAML is read as a stream of events: nothing is constructed, nothing recurses, aliases are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

from app.notes.models import NoteInvalid

EVENTS_MAX = 10_000
DEPTH_MAX = 20
_NULLS = ("", "~", "null", "Null", "NULL")
_LOADER: Any = getattr(
    yaml, "CSafeLoader", yaml.SafeLoader
)  # libyaml where the wheel has it: ten times faster


@dataclass(frozen=True, slots=True)
class Fields:
    """What a note takes from front matter; None where the key is missing or empty."""

    title: str | None
    tags: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class _Key:
    """A key of the top-level mapping: its value, if that is text or a list of text, and its lines."""

    text: str | None
    items: tuple[str, ...] | None
    first_line: int
    last_line: int  # exclusive


@dataclass(frozen=True, slots=True)
class _Mapping:
    keys: dict[str, _Key]
    flow: bool  # written as {…}


def read_front_matter(source: str) -> Fields | None:
    """None if this is not front matter but plain text. Raises NoteInvalid when broken."""
    mapping = _read(source)
    if mapping is None:
        return None
    title, tags = mapping.keys.get("title"), mapping.keys.get("tags")
    if title and title.text is None:
        raise NoteInvalid("The title in the front matter is not one line of text. Write `title: The title`.")
    return Fields(title.text if title and title.text else None, _tags(tags) if tags else None)


def edit_front_matter(source: str, fields: Fields, *, newline: str) -> str | None:
    """The source with the lines of `title` and `tags` replaced; None if it has to be written anew."""
    mapping = _read(source) if source else None
    if mapping is None or mapping.flow:
        return None
    lines = source.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        return None
    put = {
        "title": _line("title", fields.title, newline),
        "tags": _line("tags", fields.tags or None, newline),
    }
    known = sorted((mapping.keys[name].first_line, name) for name in put if name in mapping.keys)
    for _, name in reversed(known):
        key = mapping.keys[name]
        if (name == "title" and key.text == fields.title) or (name == "tags" and _tags(key) == fields.tags):
            continue
        lines[key.first_line : key.last_line] = [put[name]] if put[name] else []
    added = [put[name] for name in put if name not in mapping.keys and put[name]]
    return "".join([*added, *lines])


def new_front_matter(source: str, fields: Fields, *, newline: str) -> str:
    """Front matter with `title`, `tags` and the other keys of `source`, without their comments."""
    others = yaml.load(source, Loader=_TextLoader) if source else None  # noqa: S506  a SafeLoader
    values = {"title": fields.title, "tags": list(fields.tags or ())}
    if isinstance(others, dict):
        values |= {key: value for key, value in others.items() if key not in values}
    if not values["tags"]:
        del values["tags"]
    body = yaml.safe_dump(values, allow_unicode=True, sort_keys=False, width=10_000)
    return f"---\n{body}---\n".replace("\n", newline)


class _TextLoader(yaml.SafeLoader):
    """Reads every scalar as it is written: a date or a number comes back as the same characters."""

    yaml_implicit_resolvers: Any = {}  # noqa: RUF012  PyYAML's own name and shape


def _line(name: str, value: str | tuple[str, ...] | None, newline: str) -> str:
    if value is None:
        return ""
    written = list(value) if isinstance(value, tuple) else value
    flow = not isinstance(written, str)
    text: str = yaml.safe_dump(
        {name: written}, allow_unicode=True, width=10_000, default_flow_style=None if flow else False
    )
    return text.replace("\n", newline)


def _tags(key: _Key) -> tuple[str, ...] | None:
    if key.items is not None:
        return key.items
    if key.text is None:
        raise NoteInvalid("The tags in the front matter are not a list of words. Write `tags: [one, two]`.")
    return tuple(tag for tag in (part.strip() for part in key.text.split(",")) if tag) or None


def _read(source: str) -> _Mapping | None:
    try:
        return _mapping(_events(source))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" in line {mark.line + 2}" if mark else ""  # the line of `---` is the first
        raise NoteInvalid(
            f"The front matter is not valid YAML{where}. Correct it and import the file again."
        ) from None
    except (yaml.YAMLError, UnicodeError, ValueError):
        raise NoteInvalid(
            "The front matter is not valid YAML. Correct it and import the file again."
        ) from None


def _events(source: str) -> Iterator[Any]:
    depth = 0
    for count, event in enumerate(yaml.parse(source, Loader=_LOADER)):
        if isinstance(event, yaml.AliasEvent):
            raise NoteInvalid("The front matter uses a YAML alias (*name). Write the value out.")
        if isinstance(event, yaml.DocumentStartEvent) and count > 1:
            raise NoteInvalid("The front matter holds more than one YAML document. Keep one.")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEPTH_MAX or count > EVENTS_MAX:
            raise NoteInvalid("The front matter is nested too deeply or too long. Shorten it.")
        yield event


def _mapping(events: Iterator[Any]) -> _Mapping | None:
    next(events), next(events, None)  # start of the stream, start of the document
    start = next(events, None)
    if start is None or isinstance(start, yaml.ScalarEvent):
        for _ in events:
            pass  # the rest may still be broken
        return None if start is not None and start.value.strip() else _Mapping({}, flow=False)
    if not isinstance(start, yaml.MappingStartEvent):
        raise NoteInvalid("The front matter is not `key: value` lines. Correct it and import the file again.")
    keys: dict[str, _Key] = {}
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        name, _, _ = _value(event, events)
        text, items, end = _value(next(events), events)
        if name is None:
            raise NoteInvalid(
                "A key of the front matter is not a word. Correct it and import the file again."
            )
        if name in keys:
            raise NoteInvalid(f"The front matter has the key {name[:60]!r} twice. Keep one of the two.")
        keys[name] = _Key(text, items, event.start_mark.line, _after(event, end))
    for _ in events:
        pass
    return _Mapping(keys, flow=bool(start.flow_style))


def _value(event: Any, events: Iterator[Any]) -> tuple[str | None, tuple[str, ...] | None, Any]:
    """(text, list of text, last event) of the value that begins with `event`."""
    if isinstance(event, yaml.ScalarEvent):
        return _scalar(event), None, event
    items: list[str] = []
    flat = isinstance(event, yaml.SequenceStartEvent)
    depth = 1
    for inner in events:
        depth += isinstance(inner, yaml.CollectionStartEvent) - isinstance(inner, yaml.CollectionEndEvent)
        if depth == 0:
            return None, tuple(items) if flat else None, inner
        if not isinstance(inner, yaml.ScalarEvent):
            flat = False
        elif text := _scalar(inner):
            items.append(text)
    raise NoteInvalid("The front matter ends too early. Correct it and import the file again.")


def _scalar(event: Any) -> str:
    text: str = event.value
    return "" if event.style in (None, "") and text in _NULLS else text


def _after(key: Any, end: Any) -> int:
    """The line after a value. A block list ends where the next key begins."""
    mark = end.end_mark
    return max(int(mark.line) + int(mark.column > 0), int(key.start_mark.line) + 1)

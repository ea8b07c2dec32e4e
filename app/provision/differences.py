"""Where an object at Cloudflare is not as it should be, field by field."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.provision.found import Found, Kind, Wire

# The API fills these in.
_READ_ONLY = frozenset({"id"})
_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")


@dataclass(frozen=True, slots=True)
class Difference:
    """`field` is a path, like `oauth_configuration.enabled`."""

    field: str
    wanted: object
    found: object

    def __str__(self) -> str:
        should = "and should not be" if self.wanted is None else f"not {_said(self.wanted)}"
        return f"{self.field} is {_said(self.found)}, {should}"


def differences(kind: Kind, fields: Mapping[str, Any], value: Wire, found: Found) -> tuple[Difference, ...]:
    """Of the fields that we set; of a tunnel's ingress rules, of all."""
    if kind == "configuration":
        config = value.get("config") or {}
        return tuple(_ordered("ingress", fields["ingress"], config.get("ingress") or []))
    if kind == "application":
        value = {**value, "policies": _policy_names(value, found)}
        names = Difference("policies", tuple(fields["policies"]), tuple(value["policies"]))
        others = {name: wanted for name, wanted in fields.items() if name != "policies"}
        changed = (names,) if names.wanted != names.found else ()
        return (*_unequal("", others, value), *changed)
    return tuple(_unequal("", fields, value))


def _policy_names(application: Wire, found: Found) -> tuple[str, ...]:
    """In their order. One that is not ours, or not the one we know by this name, says so."""
    links = sorted(application.get("policies") or [], key=lambda link: int(link.get("precedence") or 0))
    names = []
    for link in links:
        policy = found.named("policy", link["id"]) or link
        name = str(policy.get("name", link["id"]))
        known = found.one("policy", name)
        is_it = known is not None and known["id"] == link["id"]
        names.append(name if is_it else f"{name} ({policy.get('decision', 'unknown')}, {link['id']})")
    return tuple(names)


def _unequal(path: str, wanted: object, value: object) -> Iterator[Difference]:
    if isinstance(wanted, Mapping) and wanted:
        have = value if isinstance(value, Mapping) else {}
        for name, part in wanted.items():
            yield from _unequal(f"{path}.{name}" if path else name, part, have.get(name))
    elif isinstance(wanted, list):
        have_list = value if isinstance(value, list) else []
        if _sorted(wanted) != _sorted(have_list):
            yield Difference(path, wanted, have_list)
    elif not _same(wanted, value):
        yield Difference(path, wanted, value)


def _ordered(path: str, wanted: Sequence[Any], value: Sequence[Any]) -> Iterator[Difference]:
    """Rule by rule, and in each all that is said: what somebody added counts too."""
    if len(wanted) != len(value):
        yield Difference(path, f"{len(wanted)} rules", f"{len(value)} rules")
        return
    for number, (one, other) in enumerate(zip(wanted, value, strict=True)):
        yield from _exact(f"{path}.{number}", one, other)


def _exact(path: str, wanted: object, value: object) -> Iterator[Difference]:
    if isinstance(wanted, Mapping) and isinstance(value, Mapping):
        for name in dict.fromkeys([*wanted, *value]):
            if name not in _READ_ONLY:
                yield from _exact(f"{path}.{name}", wanted.get(name), value.get(name))
    elif isinstance(wanted, list) and isinstance(value, list):
        if _sorted(wanted) != _sorted(value):
            yield Difference(path, wanted, value)
    elif not _same(wanted, value):
        yield Difference(path, wanted, value)


def _same(wanted: object, value: object) -> bool:
    """The API leaves out, or says as null, what is off or empty; and it may write 24h as 24h0m0s."""
    if wanted == value or (not wanted and not value):
        return True
    seconds = _seconds(wanted)
    return seconds is not None and seconds == _seconds(value)


def _seconds(value: object) -> int | None:
    """Of a duration as Go writes it."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not found or not value:
        return None
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


def _sorted(values: Sequence[Any]) -> list[str]:
    return sorted(json.dumps(_said_fields(value), sort_keys=True) for value in values)


def _said_fields(value: Any) -> Any:
    """Without what is said to be nothing."""
    if isinstance(value, Mapping):
        return {name: _said_fields(part) for name, part in value.items() if part is not None}
    return value


def _said(value: object) -> str:
    if value is None:
        return "not set"
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return ", ".join(value) or "nothing"
    return json.dumps(value, default=str)

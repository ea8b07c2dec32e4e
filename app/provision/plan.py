"""The steps from what there is to what there should be, in an order in which nothing is open meanwhile.

Pure: nothing here reaches Cloudflare, so a plan needs no token to be tested. `apply` performs the first
step, reads it back, and plans again, until nothing is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any, Literal

from app.provision.applications import MOST_CHARACTERS, too_long
from app.provision.differences import Difference, differences
from app.provision.found import ORDER, Found, Kind, Wire, name_of, target
from app.provision.marks import unmarked
from app.provision.wanted import Intent, Object, wanted

SHOWN = 3  # differences in a sentence; `drift` names all
Action = Literal["create", "update", "delete"]


@dataclass(frozen=True)
class Step:
    """One act. `id`: of the object to update or delete. `fields`: what to create or update it with."""

    action: Action
    kind: Kind
    name: str
    why: str
    id: str = field(default="", repr=False)
    fields: Mapping[str, Any] = field(default_factory=dict, repr=False)
    differences: tuple[Difference, ...] = field(default=(), repr=False)

    def shown(self) -> dict[str, str]:
        """For `plan --json`."""
        return {"action": self.action, "kind": self.kind, "name": self.name, "why": self.why}

    def __str__(self) -> str:
        return f"{self.action} {_WORDS[self.kind]} {unmarked(self.name)}: {self.why}"


@dataclass(frozen=True)
class Plan:
    """`conflicts`: what is in the way and not ours; while there is one, nothing is done.

    `notes`: what stays undone, a sentence each. `auds`: what the server must accept.
    """

    steps: tuple[Step, ...]
    conflicts: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    auds: tuple[str, ...] = ()

    def text(self) -> str:
        """For people."""
        lines = [f"{number:>3}. {step}" for number, step in enumerate(self.steps, 1)]
        lines += [f"In the way: {conflict}" for conflict in self.conflicts]
        lines += [f"Note: {note}" for note in self.notes]
        return "\n".join(lines if self.steps else ["Nothing to do.", *lines]) + "\n"


_WORDS: dict[Kind, str] = {
    "service-token": "service token",
    "policy": "Access policy",
    "application": "Access application",
    "tunnel": "tunnel",
    "configuration": "tunnel configuration",
    "waf-rule": "firewall rule",
    "dns-record": "DNS record",
}


def plan(intent: Intent, found: Found) -> Plan:
    should = wanted(intent, found)
    steps = [step for object in should.objects if (step := _step(object, found))]
    return Plan(
        steps=(*steps, *_no_longer(should.objects, found)),
        conflicts=tuple(_conflicts(intent, found)),
        notes=should.notes,
        auds=should.auds,
    )


def teardown(found: Found) -> tuple[Step, ...]:
    """Everything of ours, the name first: what was closed stays closed until nobody can reach it."""
    kinds = [kind for kind in reversed(ORDER) if kind != "configuration"]  # it goes with its tunnel
    return tuple(
        Step("delete", kind, name_of(kind, value), "the exposure ends", value["id"])
        for kind in kinds
        for value in found.ours(kind)
    )


def _step(object: Object, found: Found) -> Step | None:
    value = found.one(object.kind, object.name)
    if value is None:
        return Step("create", object.kind, object.name, object.why, fields=object.fields)
    if object.kind == "tunnel":
        return None  # its name is how it is known, and where its configuration is kept cannot be changed
    changed = differences(object.kind, object.fields, value, found)
    if not changed:
        return None
    return Step("update", object.kind, object.name, _why(changed), value["id"], object.fields, changed)


def _why(changed: tuple[Difference, ...]) -> str:
    more = f"; and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    return "; ".join(map(str, changed[:SHOWN])) + more


def _no_longer(objects: Iterable[Object], found: Found) -> list[Step]:
    """Of ours what is not wanted, or there twice (an answer may be lost on its way)."""
    names = {(object.kind, object.name) for object in objects}
    steps = []
    for kind in reversed(ORDER):
        if kind in ("service-token", "configuration", "tunnel"):
            continue
        for value in found.ours(kind):
            name = name_of(kind, value)
            kept = found.one(kind, name)
            if (kind, name) not in names:
                steps.append(Step("delete", kind, name, "no longer wanted", value["id"]))
            elif kept is not None and kept["id"] != value["id"]:
                steps.append(Step("delete", kind, name, "there is another of this name", value["id"]))
    return steps


def _conflicts(intent: Intent, found: Found) -> Iterable[str]:
    if place := too_long(intent.hostname, intent.topology):
        yield (
            f"{place} has {len(place)} characters; Access takes {MOST_CHARACTERS}. Choose a shorter hostname."
        )
    for tunnel in found.ours("tunnel"):
        if tunnel.get("config_src") == "local":
            yield (
                f"Tunnel {tunnel['name']} has its configuration on a machine, and that cannot be changed. "
                "Delete it: Cloudflare One → Networks → Connectors."
            )
    for record in found.foreign("dns-record"):
        if record["type"] in ("A", "AAAA", "CNAME"):
            yield (
                f"DNS record {record['type']} {record['name']} → {record['content']} is not ours, and stays. "
                f"Delete it ({found.zone} → DNS → Records), or choose another hostname."
            )
    for application in found.foreign("application"):
        for place in places(application):
            if _stands_before(place, intent.hostname):
                yield (
                    f"Access application {application['name']!r} covers {place} and is not ours: it decides "
                    "there, not ours. Delete it or its domain (Cloudflare One → Access controls → "
                    "Applications), or choose another hostname."
                )


def places(application: Wire) -> tuple[str, ...]:
    """`host[/path]` of all that an application covers."""
    uris = [part.get("uri", "") for part in application.get("destinations") or ()]
    older = application.get("self_hosted_domains") or ()
    return tuple(dict.fromkeys(place for place in (application.get("domain"), *uris, *older) if place))


def _stands_before(place: str, hostname: str) -> bool:
    """Whether it is as specific as ours, or more: the most specific decides, alone."""
    host, _, path = place.lower().partition("/")
    if host == hostname:
        return True
    labels, ours = host.split("."), hostname.split(".")
    fits = len(labels) == len(ours) and all(
        fnmatchcase(own, part) for part, own in zip(labels, ours, strict=True)
    )
    return fits and bool(path)


def answers(found: Found) -> bool:
    """Whether the name leads to our tunnel: it is reachable, or will be as soon as a connector is there."""
    tunnels = {target(tunnel) for tunnel in found.ours("tunnel")}
    return any(record["content"] in tunnels for record in found.ours("dns-record"))

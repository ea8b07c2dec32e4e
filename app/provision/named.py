"""Whom the rules name, one by one: in words, what keeps them out all the same, and whether Access knows."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.policy.rules import Rule
from app.provision.found import Found
from app.provision.people import CLIENT_ID_END, is_let_in_as, stays_out
from app.tunnel.config import Topology

if TYPE_CHECKING:
    from app.provision.state import State

SHOWN = 3  # of those who are let in, or not yet

_WORDS = {
    "emails": "{}",
    "domains": "everybody of {}",
    "groups": "the group {}",
    "service_tokens": "the service token {}",
    "any_person": "every person who can log in",
}


@dataclass(frozen=True, slots=True, order=True)
class Named:
    """`by`: the word of the policy file."""

    by: str
    value: str = ""

    def __str__(self) -> str:
        words = "{}" if self._is_client() else _WORDS[self.by]  # a client says by itself what it is
        return words.format(self.value)

    def is_of_access(self, topology: Topology) -> bool:
        """Whether Access is told of it at all."""
        return self.by != "service_tokens" or (topology == "access" and not self._is_client())

    def _is_client(self) -> bool:
        return self.by == "service_tokens" and not self.value.endswith(CLIENT_ID_END)


def named_by(rule: Rule) -> tuple[Named, ...]:
    named = [Named("emails", email) for email in sorted(rule.emails)]
    named += [Named("domains", domain) for domain in sorted(rule.domains)]
    named += [Named("groups", group) for group in sorted(rule.groups)]
    named += [Named("service_tokens", id) for id in sorted(rule.service_tokens)]
    return (*named, Named("any_person")) if rule.any_person else tuple(named)


def kept_out(one: Named, found: Found, topology: Topology, now: float) -> str:
    """Why nobody comes in by this name, or an empty text."""
    if one.by == "groups":
        return "" if is_let_in_as(one.value, found) else "no group of this name at Cloudflare"
    return stays_out(one.value, found, topology, now) if one.by == "service_tokens" else ""


def told(rules: Iterable[Rule], topology: Topology) -> tuple[Named, ...]:
    """Of whom Access is told by an `apply`."""
    everybody = {one for rule in rules for one in named_by(rule)}
    return tuple(sorted(one for one in everybody if one.is_of_access(topology)))


def behind(state: State | None, rules: Iterable[Rule], when: str = "") -> str:
    """A sentence while Access lets in others than these rules name; empty where it does not, where nothing
    is exposed from here, and where nobody knows what was applied. `when`: what must be so before."""
    if state is None or not state.auds or state.told is None:
        return ""
    before, now = set(state.told), set(told(rules, state.topology))
    still = _some(one for one in before - now if not _covers(now, one))
    not_yet = _some(one for one in now - before if not _covers(before, one))
    lets = [f"still lets in {still}"] if still else []
    lets += [f"does not let in {not_yet} yet"] if not_yet else []
    if not lets:
        return ""
    return f"Cloudflare Access {' and '.join(lets)}. `brain tunnel apply` changes that{when}."


def _covers(others: Set[Named], one: Named) -> bool:
    """Whether it makes no difference to name this one beside those."""
    if one.by == "service_tokens":
        return False
    domain = Named("domains", one.value.rpartition("@")[2])
    return Named("any_person") in others or (one.by == "emails" and domain in others)


def _some(named: Iterable[Named]) -> str:
    words = [str(one) for one in sorted(named)]
    more = [f"{len(words) - SHOWN} more"] if len(words) > SHOWN else []
    return ", ".join([*words[:SHOWN], *more])

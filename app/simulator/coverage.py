"""Which of several applications covers a URL (Access, "Application paths"): the most specific, and it alone.

`host` covers all its paths; `host/x` covers `/x` and what is below it; `host/x/*` covers what is below
`/x`, but not `/x`. A `*` stands for one label of a hostname or one segment of a path.
"""

from __future__ import annotations

from collections.abc import Iterable

from app.simulator.application import Application

Specificity = tuple[int, int, int]


def most_specific(applications: Iterable[Application], host: str, path: str) -> Application | None:
    """None: nobody is asked, and the request goes straight on."""
    best: tuple[Specificity, Application] | None = None
    for application in applications:
        for domain in application.domains:
            found = covers(domain, host, path)
            if found is not None and (best is None or found > best[0]):
                best = found, application
    return best[1] if best else None


def covers(domain: str, host: str, path: str) -> Specificity | None:
    """How specific a cover is, or None where it is none: literal labels, segments, literal segments."""
    named, _, below = domain.partition("/")
    labels, asked = named.lower().split("."), host.lower().split(".")
    if len(labels) != len(asked) or not _fit(labels, asked):
        return None
    pattern = [part for part in below.split("/") if part]
    segments = [part for part in path.split("/") if part]
    if len(pattern) > len(segments) or not _fit(pattern, segments):
        return None
    return _literal(labels), len(pattern), _literal(pattern)


def _fit(pattern: list[str], parts: list[str]) -> bool:
    return all(want in ("*", part) for want, part in zip(pattern, parts, strict=False))


def _literal(pattern: list[str]) -> int:
    return sum(part != "*" for part in pattern)

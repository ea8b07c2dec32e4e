"""One thing that is wrong with a configuration of cloudflared, and what it takes to say so."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from app.tunnel.config import SIGNED_IN_PATTERN


@dataclass(frozen=True, slots=True)
class Finding:
    """`where` is a path in the file (`ingress[0].service`), `fix` the one thing to do."""

    code: str
    where: str
    sentence: str
    fix: str


Found = Iterator[Finding]
WRITE_PATTERN = f"Write `path: {SIGNED_IN_PATTERN}` on the first rule, and `access` on that rule alone."


def unknown(mapping: Mapping[Any, Any], known: Set[str], where: str) -> Found:
    for key in mapping:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, 1)
            yield Finding(
                "unknown-key",
                f"{where}.{key}".lstrip("."),
                f"cloudflared does not know `{key}` here, and ignores it.",
                f"Did you mean `{close[0]}`?" if close else f"Remove `{key}`.",
            )


def as_yaml(value: object) -> str:
    """On one line, to be copied."""
    return re.sub(r'"(\w+)":', r"\1:", json.dumps(value))

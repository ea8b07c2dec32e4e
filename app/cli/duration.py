"""Lengths of time as people write them on the command line."""

from __future__ import annotations

import re

from app.cli.policy_files import Usage

MOST = 100 * 366 * 86_400  # a date so far away can still be written
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds(text: str, option: str) -> int:
    """`24h` → 86400. Raises Usage, which names the option that said it."""
    said = re.fullmatch(r"([0-9]{1,6})([smhdw])", text)
    if said is None or not 0 < int(said[1]) * _UNITS[said[2]] <= MOST:
        raise Usage(f"{option} {text}: write a length of time, like 30m, 24h or 7d")
    return int(said[1]) * _UNITS[said[2]]

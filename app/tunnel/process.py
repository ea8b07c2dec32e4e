"""What a file tells cloudflared beside its rules, as far as it does harm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from app.tunnel import keys
from app.tunnel.config import GRACE_SECONDS, STOP_SECONDS
from app.tunnel.finding import Finding, Found


def process(config: Mapping[Any, Any]) -> Found:
    """What a file says of the process, not of rules."""
    for key in sorted(keys.SINGLE_SERVICE & config.keys(), key=str):
        yield Finding(
            "single-service", key, f"`{key}` exposes something besides the rules.", f"Remove `{key}`."
        )
    for key in sorted({"token", "credentials-contents"} & config.keys(), key=str):
        yield Finding(
            "secret-in-file",
            key,
            "A secret does not belong in a file that is read, sent and kept with others.",
            f"Remove `{key}`; use `token-file` or `credentials-file`, mode 0600.",
        )
    if _routes(config.get("warp-routing")):
        sentence = "With WARP routing devices of the team reach this machine's network, past the door."
        yield Finding("warp-routing", "warp-routing", sentence, "Remove `warp-routing`.")
    metrics = str(config.get("metrics") or "")
    if metrics and not re.match(r"(127\.\d+\.\d+\.\d+|localhost|\[::1\]):\d+$", metrics):
        sentence = f"{metrics} shows metrics, the configuration and a profiler to whoever reaches it."
        yield Finding("metrics-exposed", "metrics", sentence, "Write `metrics: 127.0.0.1:20241`.")
    if config.get("no-autoupdate") is False:
        sentence = "A tunnel that updates itself restarts when it likes."
        yield Finding("autoupdate", "no-autoupdate", sentence, "Write `no-autoupdate: true`.")
    for key in ("loglevel", "transport-loglevel"):
        if config.get(key) == "debug":
            sentence = "At debug level cloudflared logs all headers, and with them assertions and tokens."
            yield Finding("debug-log", key, sentence, f"Write `{key}: info`.")
    grace = config.get("grace-period")
    if grace is not None and not _seconds(grace) < STOP_SECONDS:
        yield Finding(
            "grace-too-long",
            "grace-period",
            f"{grace} is not less than the {STOP_SECONDS} s after which it is killed, streams and all.",
            f"Write `grace-period: {GRACE_SECONDS}s`.",
        )


def _routes(warp: object) -> bool:
    return isinstance(warp, Mapping) and bool(warp) and warp.get("enabled") is not False


def _seconds(duration: object) -> float:
    """Of a duration in Go's notation; without end, if it cannot be read."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    if not isinstance(duration, str) or not re.fullmatch(r"(\d+(\.\d+)?(h|ms|m|s))+", duration):
        return float("inf")
    return sum(float(n) * units[unit] for n, _, unit in re.findall(r"(\d+(\.\d+)?)(h|ms|m|s)", duration))

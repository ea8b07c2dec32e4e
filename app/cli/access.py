"""`brain access inspect`: decodes and verifies a pasted assertion, and says exactly why it is refused."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from base64 import urlsafe_b64decode
from typing import Any

import httpx2

from app.access.claims import AssertionRefused, KeysUnavailable, issuer_of
from app.access.jwks import KeySet
from app.access.verifier import Verifier
from app.cli.policy_files import Usage
from app.settings import Settings

STDIN = "-"


def register(nouns: Any) -> None:
    verbs = nouns.add_parser("access", help="Cloudflare Access assertions").add_subparsers(
        required=True, metavar="VERB"
    )
    inspecting = verbs.add_parser("inspect", help="decode and verify an assertion")
    inspecting.add_argument(
        "token", nargs="?", default=STDIN, help="the assertion; - or nothing: standard input"
    )
    inspecting.add_argument("--json", action="store_true", help="as JSON")
    inspecting.set_defaults(run=inspect)


def inspect(args: argparse.Namespace, settings: Settings) -> int:
    if not settings.access_team:
        raise Usage("set CF_ACCESS_TEAM and CF_ACCESS_AUD first; they say whose assertions are good here")
    pasted = sys.stdin.buffer.read() if args.token == STDIN else os.fsencode(args.token)
    token = pasted.decode("latin-1").strip()  # whatever it is, it is shown and refused, never a crash
    result = {**_decoded(token), **asyncio.run(_verified(token, settings))}
    if args.json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            print(f"{name:10} {value if isinstance(value, str) else json.dumps(value)}")
    return 0 if result["verdict"] == "good" else 1


def _decoded(token: str) -> dict[str, Any]:
    """Header and claims as they say they are; nothing of it is believed."""
    shown: dict[str, Any] = {}
    for name, segment in zip(("header", "claims"), token.split(".")[:2], strict=False):
        try:
            shown[name] = json.loads(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
        except (ValueError, RecursionError):
            shown[name] = "(not readable)"
    return shown


async def _verified(token: str, settings: Settings) -> dict[str, Any]:
    async with httpx2.AsyncClient(follow_redirects=False) as http:
        clock = time.time  # noqa: TID251 - a root
        keys = KeySet(settings.access_certs_url, http, clock, settings.data_dir / "access-certs.json")
        verify = Verifier(
            keys, issuer=issuer_of(settings.access_team), audiences=settings.access_aud, now=clock
        )
        try:
            identity = await verify(token.encode("latin-1"))
        except AssertionRefused as refused:
            return {"verdict": "refused", "reason": refused.reason, "detail": refused.detail}
        except KeysUnavailable as unavailable:
            return {"verdict": "unknown", "reason": unavailable.code, "detail": unavailable.detail}
        who = identity.principal
        return {"verdict": "good", "kind": who.kind, "principal": who.id, "groups": sorted(who.groups)}

"""`brain connect`: how each client connects to the LAN door of these settings."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from textwrap import indent
from typing import Any

from app.pages.connect import lan_snippets
from app.settings import Settings


def register(nouns: Any) -> None:
    parser = nouns.add_parser("connect", help="how each client connects")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=connect)


def connect(args: argparse.Namespace, settings: Settings) -> int:
    if args.json:
        told = {"url": _url(settings), "clients": [asdict(one) for one in lan_snippets(_url(settings))]}
        print(json.dumps(told, indent=2))
    else:
        print(how_to_connect(settings))
    return 0


def how_to_connect(settings: Settings) -> str:
    """A snippet for each client, for this very address."""
    snippets = (
        f"{snippet.client} ({snippet.where})\n{indent(snippet.text, '    ')}\n"
        for snippet in lan_snippets(_url(settings))
    )
    return "\n".join((f"The Brain on the LAN, no login: {_url(settings)}\n", *snippets))


def _url(settings: Settings) -> str:
    return f"http://{settings.lan_door}/mcp"

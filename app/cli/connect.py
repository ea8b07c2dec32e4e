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
    url = f"http://{settings.lan_door}/mcp"
    snippets = lan_snippets(url)
    if args.json:
        print(json.dumps({"url": url, "clients": [asdict(snippet) for snippet in snippets]}, indent=2))
        return 0
    print(f"The Brain on the LAN, no login: {url}\n")
    for snippet in snippets:
        print(f"{snippet.client} ({snippet.where})\n{indent(snippet.text, '    ')}\n")
    return 0

"""`brain serve`: starts the server per MCP_TRANSPORT."""

from __future__ import annotations

import argparse
from typing import Any

from app.cli.connect import how_to_connect
from app.settings import Settings


def register(nouns: Any) -> None:
    parser = nouns.add_parser("serve", help="start per MCP_TRANSPORT")
    parser.add_argument(
        "--connect", action="store_true", help="print how each client connects, once the door is open"
    )
    parser.set_defaults(run=serve, opens_doors=True)


def serve(args: argparse.Namespace, settings: Settings) -> int:
    # Imported here: the other commands need not load a web server.
    from app import server
    from app.audit.lines import configure

    configure(settings.log_level, settings.log_format)
    if args.connect and settings.transport != "stdio":
        server.main(settings, up=lambda: print(how_to_connect(settings), flush=True))
    else:
        server.main(settings)
    return 0

"""`brain config`: the settings as they are read now, or the commented reference file."""

from __future__ import annotations

import argparse
import json
from typing import Any

from app.settings import Settings
from app.settings.table import TABLE, example_file


def register(nouns: Any) -> None:
    parser = nouns.add_parser("config", help="check the settings and print them")
    parser.add_argument("--example", action="store_true", help="print deploy/app.env.example instead")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=config)


def config(args: argparse.Namespace, settings: Settings) -> int:
    if args.example:
        print(example_file(), end="")
        return 0
    values = {
        "transport": settings.transport,
        "lan_door": str(settings.lan_door),
        "tunnel_door": str(settings.tunnel_door) if settings.tunnel_door else None,
        "base_url": settings.base_url,
        "access_team": settings.access_team or None,
        "access_aud": sorted(settings.access_aud),
        "policy_file": str(settings.policy_file),
        "data_dir": str(settings.data_dir),
        "database_url": settings.database_url,
        "variables": [variable.name for variable in TABLE],
    }
    if args.json:
        print(json.dumps(values, indent=2))
        return 0
    for name, value in values.items():
        if name != "variables":
            print(f"{name:14} {value}")
    return 0

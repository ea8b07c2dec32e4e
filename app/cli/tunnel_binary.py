"""`brain tunnel cloudflared`: the cloudflared to use; downloaded, if there is none."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2

from app.settings import Settings
from app.tunnel.binary import Cloudflared, Progress, download, find
from app.tunnel.releases import DOWNLOADS, PINNED, shown

TIMEOUT = httpx2.Timeout(30, connect=15)


def register(verbs: Any) -> None:
    parser = verbs.add_parser("cloudflared", help="find the cloudflared to use, or download it")
    parser.add_argument("--mirror", default=DOWNLOADS, metavar="URL", help=f"instead of {DOWNLOADS}")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace, settings: Settings) -> int:
    found = ensured(settings, mirror=args.mirror)
    version = shown(found.version) if found.version else "of no known version"
    if args.json:
        print(json.dumps({"path": str(found.path), "version": version, "source": found.source}))
    else:
        print(f"{found.path}  cloudflared {version}  ({found.source})")
    return 0


def ensured(settings: Settings, *, mirror: str = DOWNLOADS) -> Cloudflared:
    """The cloudflared to use; says on standard error what is passed over, and how a download goes on.

    Raises CloudflaredMissing, CloudflaredRefused, DownloadFailed.
    """
    search = find(settings.cloudflared_bin, os.environ.get("PATH", ""), settings.data_dir)
    for sentence in search.passed_over:
        print(f"brain: {sentence}", file=sys.stderr)
    if search.found is not None:
        return search.found
    print(f"brain: downloading cloudflared {PINNED}", file=sys.stderr)
    system = (platform.system(), platform.machine())
    # HTTPS_PROXY, NO_PROXY and SSL_CERT_FILE count.
    with httpx2.Client(follow_redirects=True, timeout=TIMEOUT) as http, _bar() as progress:
        return download(settings.data_dir, system, http, base=mirror, progress=progress)


@contextmanager
def _bar() -> Iterator[Progress]:
    if not sys.stderr.isatty():
        yield lambda done, whole: None
        return
    from rich.console import Console  # not at the top: only for people who watch
    from rich.progress import BarColumn, DownloadColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("cloudflared", total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)

"""The nearest that there is to an upstream of ours: FastMCP's own proxy, with no login, policy or record.

`python -m bench.peer URL PORT`, or `python -m bench.peer FILE` on standard input and output.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fastmcp.server import create_proxy


def main(target: str, port: str = "") -> None:
    proxy = create_proxy(target if port else Path(target), name="peer")
    if port:
        proxy.run("http", host="127.0.0.1", port=int(port), show_banner=False)
    else:
        proxy.run("stdio", show_banner=False)


if __name__ == "__main__":
    main(*sys.argv[1:])

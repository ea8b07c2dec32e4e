"""Stands in for cloudflared: does what files in its folder (STAND_IN) say, and writes down how it began.

`ready`: connections that /ready tells of. `exit`: end with this code. `says`: lines for the log, once.
`stays`: is there while SIGTERM is ignored. Run as a program; the tests make it one.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


def main(words: list[str]) -> None:
    if words[1:] == ["--version"]:
        print("cloudflared version 2026.9.3 (built 2026-09-24-10:00 UTC)")
        return
    folder = Path(os.environ["STAND_IN"])
    signal.signal(signal.SIGTERM, lambda *_: (folder / "stays").exists() or os._exit(0))
    host, _, port = words[words.index("--metrics") + 1].partition(":")

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            connections = int(text(folder / "ready") or 0)
            self.send_response(200 if connections else 503)
            self.end_headers()
            self.wfile.write(json.dumps({"readyConnections": connections}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer((host, int(port)), Ready)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    started = {"argv": words, "environ": dict(os.environ), "pid": os.getpid()}
    lives = len(list(folder.glob("life-*.json")))
    (folder / "life.tmp").write_text(json.dumps(started))
    (folder / "life.tmp").rename(folder / f"life-{lives}.json")
    while True:
        if said := text(folder / "says"):
            (folder / "says").unlink()
            print(said, file=sys.stderr, flush=True)
        if code := text(folder / "exit"):
            (folder / "exit").unlink()
            os._exit(int(code))
        time.sleep(0.01)


def text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""


if __name__ == "__main__":
    main(sys.argv)

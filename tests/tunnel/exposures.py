"""What the tests expose."""

from __future__ import annotations

from dataclasses import replace

from app.tunnel.config import Exposure

AUD = "a" * 64
ACCESS = Exposure("brain.example.com", "http://127.0.0.1:8085", "access", "acme", (AUD,))
OAUTH = replace(ACCESS, topology="oauth")
LAN_PORT = 8084

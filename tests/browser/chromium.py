"""The Chromium of this machine: found, never fetched, and with no way out to any other machine."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import AsyncIterator

from playwright.async_api import Browser, async_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
MISSING = "needs Chromium: apt-get install chromium, or CHROMIUM_BIN=/path/to/it"


def find() -> str | None:
    """CHROMIUM_BIN, if set, and nothing else; otherwise the first that PATH has."""
    named = os.environ.get("CHROMIUM_BIN")
    if named:
        return shutil.which(named)
    return next((path for program in PROGRAMS if (path := shutil.which(program))), None)


@contextlib.asynccontextmanager
async def chromium(program: str, *, https_port: int, key_sha256: str) -> AsyncIterator[Browser]:
    """Every name leads to `https_port` of this machine, and only a certificate with that key is trusted.

    `key_sha256`: of its SubjectPublicKeyInfo, in base64.
    """
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=program,
            chromium_sandbox=os.geteuid() != 0,
            args=[
                f"--host-resolver-rules=MAP * 127.0.0.1:{https_port}, EXCLUDE 127.0.0.1",
                f"--ignore-certificate-errors-spki-list={key_sha256}",
            ],
        )
        try:
            yield browser
        finally:
            await browser.close()

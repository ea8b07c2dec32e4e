"""The settings of a server that has its team and AUD tags from Cloudflare, by the tunnel's state."""

from __future__ import annotations

import os
from pathlib import Path

from app import settings as app_settings
from app.provision.files import TunnelFiles
from app.provision.state import State
from app.settings import Settings


def tunnel_files(settings: Settings) -> TunnelFiles:
    return TunnelFiles(settings.data_dir / "tunnel")


def learned(env_file: str | None, state: State) -> Settings:
    """What Cloudflare said comes before what was written here. Raises SettingsInvalid."""
    known = {
        "MCP_TRANSPORT": "http",
        "BASE_URL": f"https://{state.hostname}",
        "CF_ACCESS_TEAM": state.team,
        "CF_ACCESS_AUD": ",".join(state.auds),
    }
    return app_settings.read({**os.environ, **known}, Path(env_file or ".env"))

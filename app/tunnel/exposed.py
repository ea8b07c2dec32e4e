"""What the settings expose."""

from __future__ import annotations

from app.errors import AppError
from app.settings import Settings, base
from app.tunnel.config import Exposure


class NothingExposed(AppError):
    code = "nothing_exposed"


def exposed(settings: Settings, *, door: str = "") -> Exposure:
    """`door`: the tunnel door as cloudflared reaches it, where that is not the address it listens at.

    Raises NothingExposed: the settings do not open the tunnel door to the internet.
    """
    url = base(settings)
    if (
        settings.tunnel_door is None
        or url.scheme != "https"
        or not url.hostname
        or url.port not in (None, 443)
    ):
        raise NothingExposed(
            "These settings expose nothing. Set BASE_URL to https://HOST without a port, CF_ACCESS_TEAM and "
            "CF_ACCESS_AUD."
        )
    listens = str(settings.tunnel_door)
    return Exposure(
        hostname=url.hostname,
        door=door or (listens if listens.startswith("unix:") else f"http://{listens}"),
        topology="oauth" if settings.oauth_enabled else "access",
        team=settings.access_team,
        auds=tuple(sorted(settings.access_aud)),
    )

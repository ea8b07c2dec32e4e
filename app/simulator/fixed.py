"""The applications of a team that has just the one it was made with."""

from __future__ import annotations

from collections.abc import Sequence

from app.simulator.application import Application
from app.simulator.team import Team


class FixedApplication:
    def __init__(self, team: Team, application: Application) -> None:
        self._team = team
        self._application = application

    def tagged(self, host: str, aud: str) -> Application | None:
        return self._application if host == self._application.host else None

    def at(self, host: str) -> Application:
        return self._application

    def auds(self) -> Sequence[str]:
        return [self._team.aud]

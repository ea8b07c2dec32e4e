"""A stand-in for Cloudflare Access and its edge, for trying out and testing without an account.

Real servers on loopback. `brain simulate`, `brain demo` and the tests run them, `brain serve` never does.
"""

from app.simulator.application import Application
from app.simulator.edge import Edge
from app.simulator.keys import SigningKey
from app.simulator.server import Running, Simulator, running
from app.simulator.team import Person, ServiceToken, Team

__all__ = [
    "Application",
    "Edge",
    "Person",
    "Running",
    "ServiceToken",
    "SigningKey",
    "Simulator",
    "Team",
    "running",
]

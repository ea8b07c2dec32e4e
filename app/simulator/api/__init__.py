"""A stand-in for Cloudflare's API: one account in memory, in the forms of api.cloudflare.com/client/v4.

`Account` is what the account holds; `api_app` answers for it over HTTP; `serving` does so on loopback.
"""

from app.simulator.api.account import Account
from app.simulator.api.faults import Fault
from app.simulator.api.permissions import EVERY_PERMISSION, ApiToken
from app.simulator.api.server import Serving, api_app, serving

__all__ = ["EVERY_PERMISSION", "Account", "ApiToken", "Fault", "Serving", "api_app", "serving"]

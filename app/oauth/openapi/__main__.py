from __future__ import annotations

import sys

from app.oauth.openapi.document import text

sys.stdout.write(text())

"""The policy that somebody begins with who has none: one person, who may do everything."""

from __future__ import annotations

import re

_EMAIL = re.compile(r"[a-z0-9.!#$%&+/=?^_`{|}~-]+@[a-z0-9-]+(\.[a-z0-9-]+)+")

_TEXT = """\
# Who may do what. A change counts within a second. Examples: deploy/policy.example.toml.
version = 1

[lan]
scopes = ["*"]

[[rule]]
name   = "owner"
emails = ["{email}"]
scopes = ["*"]

[[case]]                    # run by `brain policy test`
as     = "{email}"
tool   = "create_note"
expect = "allow"

[[case]]
as     = "somebody@else.example"
tool   = "search"
expect = "deny"
"""


def is_email(text: str) -> bool:
    return len(text) <= 254 and _EMAIL.fullmatch(text.lower()) is not None


def policy_for(email: str) -> str:
    """The text of policy.toml for the owner `email`. Raises ValueError if it is no e-mail address."""
    if not is_email(email):
        raise ValueError(f"{email!r} is no e-mail address")
    return _TEXT.format(email=email.lower())

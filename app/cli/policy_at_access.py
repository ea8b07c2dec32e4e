"""What `brain policy` commands end with: whom Cloudflare Access lets in otherwise than the policy says."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from app.cli.tunnel_learned import tunnel_files
from app.policy.rules import Policy
from app.provision.files import StateUnusable
from app.provision.named import behind
from app.settings import Settings


def say_if_behind(path: Path, policy: Policy, settings: Settings) -> None:
    """On standard error, beside whatever the command says. `path`: where the policy is from."""
    when = "" if _is_in_force(path, settings) else f", once {path} is in force"
    with contextlib.suppress(StateUnusable):  # of the tunnel, and no matter here
        if sentence := behind(tunnel_files(settings).state(), policy.rules, when):
            print(f"brain: {sentence}", file=sys.stderr)


def _is_in_force(path: Path, settings: Settings) -> bool:
    try:
        return path.samefile(settings.policy_file)
    except OSError:
        return False

"""`brain tunnel config` and `brain tunnel cloudflared`; and what a real cloudflared makes of it."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from app.cli.main import main
from app.tunnel.config import PROGRAMS, SIGNED_IN, Exposure, ingress, render
from tests.audit.golden_text import same_as_golden
from tests.cli.brain import Ran, brain

from .cloudflareds import real, saying
from .exposures import ACCESS, AUD, OAUTH
from .mirror import mirror

ROOT = Path(__file__).parents[2]
EXPOSED = {"BASE_URL": "https://brain.example.com", "CF_ACCESS_TEAM": "acme", "CF_ACCESS_AUD": AUD}

SPOILT = """\
tunnel: 7d2e
metrics: 0.0.0.0:20241
originRequest:
  access: {required: true, teamName: acme, audTag: [aaaa]}
ingress:
  - hostname: brain.example.com
    path: /mcp
    service: http://127.0.0.1:8085/
    originRequest: {acess: {required: true}, disableChunkedEncoding: true}
  - hostname: "*.example.com"
    service: http://192.168.1.10:8084
  - service: http_status:200
"""


def config(folder: Path, *words: str, **told: str) -> Ran:
    """`brain tunnel config` in this process, with settings from a file."""
    env = folder / "settings.env"
    env.write_text("".join(f"{name}={value}\n" for name, value in {**EXPOSED, **told}.items()))
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), contextlib.chdir(folder):
        code = main(["--env-file", str(env), "tunnel", "config", *words])
    return Ran(code, out.getvalue(), err.getvalue())


@pytest.mark.parametrize(("topology", "exposure"), [("false", ACCESS), ("true", OAUTH)])
def test_the_configuration_is_printed_from_the_settings(
    tmp_path: Path, topology: str, exposure: Exposure
) -> None:
    ran = config(tmp_path, "--tunnel", "7d2e", "--credentials", "/c.json", OAUTH_ENABLED=topology)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == render(exposure, tunnel="7d2e", credentials="/c.json")
    as_json = config(tmp_path, "--json", OAUTH_ENABLED=topology)
    assert json.loads(as_json.out) == {"ingress": ingress(exposure)}


def test_what_is_printed_passes_the_check(tmp_path: Path) -> None:
    for name, form in (("config.yml", ()), ("kept.json", ("--json",))):
        (tmp_path / name).write_text(config(tmp_path, *form).out)
        ran = config(tmp_path, "--check", name)
        assert (ran.code, ran.out, ran.err) == (0, f"{name}: nothing is wrong.\n", "")


async def test_a_configuration_may_come_on_standard_input(tmp_path: Path) -> None:
    kept = config(tmp_path, "--json").out.encode()
    ran = await brain(tmp_path, "tunnel", "config", "--check", "-", stdin=kept, **EXPOSED)
    assert (ran.code, ran.out, ran.err) == (0, "-: nothing is wrong.\n", "")


def test_every_problem_of_a_file_comes_with_its_fix(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text(SPOILT)
    ran = config(tmp_path, "--check", "config.yml")
    assert (ran.code, ran.err) == (1, "")
    assert same_as_golden("check.txt", ran.out, Path(__file__).parent / "golden")
    as_json = config(tmp_path, "--check", "config.yml", "--json")
    assert as_json.code == 1
    for one in json.loads(as_json.out):
        assert f"[{one['code']}]" in ran.out
        assert one["sentence"] in ran.out
        assert one["fix"] in ran.out


def test_the_door_may_be_reached_by_another_name(tmp_path: Path) -> None:
    there = ("--door", "http://brain:8085")
    printed = config(tmp_path, *there).out
    assert yaml.safe_load(printed)["ingress"][0]["service"] == "http://brain:8085"
    (tmp_path / "config.yml").write_text(printed)
    wrong = config(tmp_path, "--check", "config.yml")
    right = config(tmp_path, "--check", "config.yml", *there)
    assert (wrong.code, right.code) == (1, 0)
    assert "[service-elsewhere]" in wrong.out


def test_a_socket_is_named_as_cloudflared_names_it(tmp_path: Path) -> None:
    ran = config(tmp_path, "--json", TUNNEL_DOOR="unix:/run/brain.sock")
    assert json.loads(ran.out)["ingress"][0]["service"] == "unix:/run/brain.sock"


@pytest.mark.parametrize("check", [(), ("--check", "-")])
@pytest.mark.parametrize("url", ["http://127.0.0.1:8085", "https://brain.example.com:8443"])
def test_settings_that_expose_nothing_are_refused(tmp_path: Path, check: tuple[str, ...], url: str) -> None:
    ran = config(tmp_path, *check, BASE_URL=url)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("brain: These settings expose nothing. Set BASE_URL to https://HOST")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "config.yml cannot be read: No such file or directory"),
        (b"ingress: [\n", "config.yml is no YAML and no JSON: line 2: "),
        (b"a: !!python/object:os.system x", "config.yml is no YAML and no JSON: line 1: "),
        (b"\xff\xfe", "config.yml cannot be read: it is not UTF-8."),
        (b"[" * 5000, "config.yml is no YAML and no JSON: "),
    ],
)
def test_a_file_that_cannot_be_read_is_wrong_usage(tmp_path: Path, text: bytes | None, said: str) -> None:
    if text is not None:
        (tmp_path / "config.yml").write_bytes(text)
    ran = config(tmp_path, "--check", "config.yml")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith(f"brain: {said}")


def test_the_example_in_the_repository_is_what_is_rendered(tmp_path: Path) -> None:
    """`make docs` writes it."""
    ran = config(tmp_path, "--example")
    assert ran.out == (ROOT / "cloudflared" / "config.yml").read_text()


async def test_the_cloudflared_to_use_is_found(tmp_path: Path) -> None:
    named = saying(tmp_path / "mine", "2026.9.1")
    ran = await brain(tmp_path, "tunnel", "cloudflared", CLOUDFLARED_BIN=str(named))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == f"{named}  cloudflared 2026.9.1  (CLOUDFLARED_BIN)\n"
    as_json = await brain(tmp_path, "tunnel", "cloudflared", "--json", CLOUDFLARED_BIN=str(named))
    assert json.loads(as_json.out) == {"path": str(named), "version": "2026.9.1", "source": "CLOUDFLARED_BIN"}


async def test_one_with_a_flaw_is_refused(tmp_path: Path) -> None:
    ran = await brain(
        tmp_path, "tunnel", "cloudflared", CLOUDFLARED_BIN=str(saying(tmp_path / "old", "2026.8.0"))
    )
    assert (ran.code, ran.out) == (2, "")
    assert "is cloudflared 2026.8.0, which is refused: " in ran.err


async def test_what_a_mirror_has_is_used_only_if_its_sum_is_the_official_one(tmp_path: Path) -> None:
    old = saying(tmp_path / "path" / "cloudflared", "2026.8.1")
    with mirror() as here:
        ran = await brain(
            tmp_path,
            "tunnel",
            "cloudflared",
            "--mirror",
            f"http://{here.address}",
            PATH=str(old.parent),
            NO_PROXY="*",
        )
    assert (ran.code, ran.out) == (2, "")
    refused, downloading, failed = ran.err.splitlines()
    assert refused.startswith(f"brain: PATH: {old} is cloudflared 2026.8.1, which is refused: ")
    assert downloading == "brain: downloading cloudflared 2026.10.0"
    assert failed.startswith("brain: What came from http://127.0.0.1:")
    assert list((tmp_path / "data" / "bin").iterdir()) == []


# The real one


@pytest.mark.parametrize("exposure", [ACCESS, OAUTH], ids=["access", "oauth"])
def test_the_real_one_finds_the_file_valid_and_matches_each_path_with_its_rule(
    tmp_path: Path, exposure: Exposure
) -> None:
    cloudflared, file = real(), tmp_path / "config.yml"
    file.write_text(render(exposure, tunnel="7d2e", credentials="/c.json"))

    def said(*words: str) -> str:
        ran = subprocess.run(
            [cloudflared, "tunnel", "--config", file, "ingress", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return ran.stdout + ran.stderr

    valid = said("validate")
    assert "OK" in valid
    assert "unused" not in valid
    for path in (*SIGNED_IN, *PROGRAMS):
        index = 1 if exposure is OAUTH and path in PROGRAMS else 0
        assert f"Matched rule #{index}" in said("rule", f"https://brain.example.com{path}"), path
    last = 2 if exposure is OAUTH else 1
    assert f"Matched rule #{last}" in said("rule", "https://other.example.com/mcp")

"""Settings in combination, in a file, and what is never shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.settings import SettingsInvalid, read

from .test_variables import AUD, TUNNEL, problems


@pytest.mark.parametrize("aud", ["", " ", " , ", ",,"])
def test_a_team_without_an_aud_tag_is_refused(aud: str) -> None:
    assert problems(**{**TUNNEL, "CF_ACCESS_AUD": aud}) == (
        "CF_ACCESS_AUD: must be set with CF_ACCESS_TEAM; without it any app of the team gets in",
    )


@pytest.mark.parametrize("aud", ["x", "a" * 63, f"{AUD},"[:-2]])
def test_a_team_with_a_malformed_aud_tag_is_refused(aud: str) -> None:
    assert "must be AUD tags of 64 hex digits" in problems(**{**TUNNEL, "CF_ACCESS_AUD": aud})[0]


@pytest.mark.parametrize(
    ("environ", "problem"),
    [
        ({"CF_ACCESS_AUD": AUD}, "CF_ACCESS_TEAM: must be set with CF_ACCESS_AUD"),
        (
            {"CF_ACCESS_GET_IDENTITY": "true"},
            "CF_ACCESS_TEAM: must be set with CF_ACCESS_GET_IDENTITY; it is Access that is asked",
        ),
        (
            {"TUNNEL_DOOR": "127.0.0.1:9000"},
            "CF_ACCESS_TEAM: must be set when TUNNEL_DOOR is on; the tunnel door is never open",
        ),
        (
            {"CF_ACCESS_TEAM": "acme", "CF_ACCESS_AUD": AUD},
            "BASE_URL: must be set when the tunnel door is on, like https://brain.example.com",
        ),
        (
            {**TUNNEL, "MCP_PORT": "8085"},
            "TUNNEL_DOOR: must have another port than MCP_PORT; the port tells the doors apart",
        ),
        (
            {**TUNNEL, "TUNNEL_DOOR": "127.0.0.2:8084"},
            "TUNNEL_DOOR: must have another port than MCP_PORT; the port tells the doors apart",
        ),
    ],
)
def test_what_does_not_go_together_is_said(environ: dict[str, str], problem: str) -> None:
    assert problems(**environ) == (problem,)


def test_all_problems_are_reported_at_once() -> None:
    found = problems(MCP_PORT="x", LOG_LEVEL="loud", CF_ACCESS_TEAM="A.B", LAN_NETWORKS="?")
    assert [line.partition("=")[0] for line in found] == [
        "MCP_PORT",
        "LAN_NETWORKS",
        "CF_ACCESS_TEAM",
        "LOG_LEVEL",
    ]


def in_file(tmp_path: Path, content: bytes | str) -> tuple[str, ...]:
    path = tmp_path / ".env"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    try:
        read({}, path)
    except SettingsInvalid as invalid:
        return tuple(problem.removeprefix(f"{path}: ") for problem in invalid.problems)
    return ()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("MCP_PROT=1", "unknown name MCP_PROT; did you mean MCP_PORT?"),
        ("mcp_port=1", "unknown name mcp_port; remove it; deploy/app.env.example lists them all"),
        ("HOME=/x", "unknown name HOME; remove it; deploy/app.env.example lists them all"),
        ("\n\nCF_ACCESS_AUD abc\n", "line 3 cannot be read; write NAME=value"),
        ("# a\nMCP_PORT\n", "line 2 cannot be read; write NAME=value"),
        ("LOG_LEVEL='info\n", "line 1 cannot be read; write NAME=value"),
    ],
)
def test_a_line_of_the_file_that_means_nothing_is_a_problem(
    tmp_path: Path, content: str, problem: str
) -> None:
    assert in_file(tmp_path, content) == (problem,)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"MCP_PORT=\xe9"])
def test_a_file_that_is_no_text_is_a_problem(tmp_path: Path, content: bytes) -> None:
    [problem] = in_file(tmp_path, content)
    assert problem.startswith("cannot be read")


def test_a_file_may_have_marks_exports_quotes_and_comments(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_bytes(b'\xef\xbb\xbfexport MCP_PORT="9000" # mine\r\nLOG_LEVEL=debug # loud\r\nMCP_HOST=\r\n')
    settings = read({}, path)
    assert (settings.lan_door.port, settings.log_level, settings.lan_door.host) == (
        9000,
        "debug",
        "127.0.0.1",
    )


def test_nothing_of_the_file_is_put_in_the_place_of_variables(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("DATA_DIR=/srv/${LOG_LEVEL}\nLOG_LEVEL=debug\n")
    assert read({}, path).data_dir == Path("/srv/${LOG_LEVEL}")


def test_the_environment_wins_over_the_file_and_a_missing_file_is_fine(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MCP_PORT=9000\n")
    assert read({"MCP_PORT": "9001"}, tmp_path / ".env").lan_door.port == 9001
    assert read({}, tmp_path / "none").lan_door.port == 8084


def test_a_near_miss_in_the_environment_only_warns() -> None:
    settings = read({"MCP_PORTS": "1", "TUNNEL_TOKEN": "x", "PATH": "/bin", "CF_ACCESS_TEAMS": "x"})
    assert settings.warnings == (
        "CF_ACCESS_TEAMS is set but not a setting; did you mean CF_ACCESS_TEAM?",
        "MCP_PORTS is set but not a setting; did you mean MCP_PORT?",
    )


def test_no_problem_shows_a_secret(tmp_path: Path) -> None:
    for environ in (
        {"DATABASE_URL": "postgres://me:s3cret@db/x"},
        {"MCP_PORT": "x", "CLOUDFLARE_API_TOKEN": "s3cret"},
    ):
        assert "s3cret" not in "".join(problems(**environ))
    assert "s3cret" not in "".join(
        in_file(tmp_path, "CLOUDFLARE_API_TOKN=s3cret\nCLOUDFLARE_API_TOKEN s3cret\n")
    )


def test_settings_do_not_show_the_api_token() -> None:
    assert "s3cret" not in repr(read({"CLOUDFLARE_API_TOKEN": "s3cret"}))


def test_who_learns_the_team_from_cloudflare_need_not_know_it_before() -> None:
    given = {"TUNNEL_DOOR": "127.0.0.1:9", "OAUTH_ENABLED": "true", "BASE_URL": "https://brain.example.com"}
    with pytest.raises(SettingsInvalid, match="CF_ACCESS_TEAM"):
        read(given)
    assert read(given, team_comes_later=True).oauth_enabled
    with pytest.raises(SettingsInvalid, match="CF_ACCESS_TEAM"):
        read({**given, "CF_ACCESS_AUD": "a" * 64}, team_comes_later=True)

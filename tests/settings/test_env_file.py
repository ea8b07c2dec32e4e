"""`.env` as `brain tunnel up` writes it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import settings
from app.settings.env_file import amend, amended

BEFORE = "# mine\nMCP_PORT=9000\n\nexport BASE_URL=https://old.example.com  # why\n#LOG_LEVEL=info\n"


def test_what_is_set_is_replaced_in_its_place_and_the_rest_stays() -> None:
    text = amended(BEFORE, {"BASE_URL": "https://brain.example.com", "CLOUDFLARE_API_TOKEN": "abc_d-e"})
    assert text == (
        "# mine\nMCP_PORT=9000\n\nBASE_URL=https://brain.example.com\n#LOG_LEVEL=info\n"
        "CLOUDFLARE_API_TOKEN=abc_d-e\n"
    )
    assert amended(text, {"BASE_URL": "https://brain.example.com"}) == text


@given(
    st.text(
        st.characters(exclude_characters="'\n\r", exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1
    )
)
def test_what_is_written_is_what_is_read(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    path = tmp_path_factory.mktemp("env") / ".env"
    amend(path, {"POLICY_FILE": f"/p/{value}"})
    assert settings.read({}, path).policy_file == Path(f"/p/{value}".strip()).absolute()


def test_a_value_that_no_line_can_hold_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(BEFORE)
    with pytest.raises(ValueError, match="CLOUDFLARE_API_TOKEN has a line break"):
        amend(path, {"CLOUDFLARE_API_TOKEN": "a'\nb"})
    assert path.read_text() == BEFORE
    assert [one.name for one in tmp_path.iterdir()] == [".env"]


def test_it_is_for_its_owner_alone_whatever_it_was_before(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(BEFORE)
    path.chmod(0o644)
    amend(path, {"MCP_PORT": "9001"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600

"""What two decisions open together is what each of them opens."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from app.notes.models import Spaces

NAMES = ("main", "public", "~alice@example.com", "~bob@example.com", "~")
spaces = st.builds(Spaces, st.booleans(), st.booleans(), st.frozensets(st.sampled_from(NAMES)))


@given(spaces, spaces)
def test_a_space_is_open_by_both_if_it_is_open_by_each(one: Spaces, other: Spaces) -> None:
    for name in (*NAMES, "elsewhere", "~kim@example.com"):
        assert (one & other).includes(name) is (one.includes(name) and other.includes(name))

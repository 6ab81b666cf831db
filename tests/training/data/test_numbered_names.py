from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipbert_hf.training.data import numbered_names
from clipbert_hf.training.data.numbered_names import NumberedNames


@given(st.lists(st.text(), unique=True))
def test_numbers_are_places(names: list[str]) -> None:
    found = pickle.loads(pickle.dumps(NumberedNames(names)))  # noqa: S301 (made here)
    assert [found[name] for name in names] == [*range(len(names))]


@pytest.mark.parametrize("bits", [64, 2])
def test_names_with_the_same_hash(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = numbered_names._hash
    monkeypatch.setattr(numbered_names, "_hash", lambda name: whole(name) % 2**bits)
    names = [f"video_{number}.mp4" for number in range(40)]
    found = NumberedNames(names)
    assert [found[name] for name in names] == [*range(40)]
    with pytest.raises(KeyError, match="none"):
        found["none"]


def test_a_path_is_its_text() -> None:
    assert NumberedNames([None, b"a"])[None] == 0
    with pytest.raises(KeyError):
        NumberedNames([])["a"]

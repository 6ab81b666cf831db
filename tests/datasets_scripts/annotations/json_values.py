"""Whatever JSON can hold, for property tests."""

from __future__ import annotations

from hypothesis import strategies as st

# Integers beyond 64 bits and halves of surrogate pairs among them, which C libraries read in ways of their own.
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["\ud800", "\udc00b", "\ud83d\ude00", '"\\', '"key":']),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)

"""Text cut into the pieces in which it may arrive."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import strategies as st


def units(text: str) -> list[str]:
    """The smallest pieces JavaScript may cut a text into: half a surrogate pair is one."""
    data = text.encode("utf-16-le", "surrogatepass")
    return [
        data[start : start + 2].decode("utf-16-le", "surrogatepass")
        for start in range(0, len(data), 2)
    ]


def pieces(text: str, at: list[int]) -> list[str]:
    """The text cut at these places, counted in such pieces."""
    parts = units(text)
    places = sorted({min(place, len(parts)) for place in at} | {0, len(parts)})
    return ["".join(parts[a:b]) for a, b in pairwise(places)]


#: Where to cut: now and then, or everywhere.
cuts = st.one_of(
    st.lists(st.integers(0, 400), max_size=30), st.just(list(range(2000))), st.just([])
)

#: Texts with what is hard to cut: escapes, pairs, markup.
texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(["", "😀", "\ud83d", '"', "\\", "\\u", "</script>", "a\n\tb", "\u2028", "[{"]),
)

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)

"""JSON read while it is being written: the same whatever way it is cut."""

from __future__ import annotations

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilotkit_django.agents.middleware.streamed_json import JsonStream, whole

from .cuts import cuts, pieces, texts, units, values


class Listening(JsonStream):
    """Writes down what it is told."""

    def __init__(self, depth=2):
        self.depth = depth
        super().__init__()
        self.told = []
        self.strings = {}

    def wanted(self, path, kind):
        return True

    def opened(self, path, kind):
        self.told.append(("opened", path, kind))
        if kind == "string":
            self.strings[path] = ""

    def piece(self, path, text):
        assert text
        self.strings[path] += text

    def closed(self, path, kind, value):
        if kind == "string":
            assert whole(self.strings[path]) == value
        self.told.append(("closed", path, kind, value))


def read(parts, depth=2):
    stream = Listening(depth)
    for part in parts:
        stream.feed(part)
    return stream


def parts_of(value, path=(), depth=2):
    """Every value up to a depth, with where it stands."""
    yield path, value
    if len(path) == depth:
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from parts_of(item, (*path, key), depth)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from parts_of(item, (*path, index), depth)


@given(values=st.dictionaries(texts, values, max_size=4), at=cuts, pretty=st.booleans())
def test_feed__any_cut(values, at, pretty):
    """What is told does not depend on the cuts, and is what the JSON says."""
    for ascii in (True, False):
        text = json.dumps(values, indent=2 if pretty else None, ensure_ascii=ascii)
        stream = read(pieces(text, at))

        assert stream.told == read([text]).told
        assert stream.done
        closed = {told[1]: told[3] for told in stream.told if told[0] == "closed"}
        assert closed == dict(parts_of(json.loads(text)))


@given(values=st.dictionaries(texts, values, max_size=4))
def test_feed__cut_short(values):
    """Of a text that ends early everything is told that was whole by then."""
    parts = units(json.dumps(values, ensure_ascii=False))
    told = read(parts).told

    for end in range(0, len(parts), 7):
        stream = read(["".join(parts[:end])])
        assert not stream.broken
        assert stream.told == told[: len(stream.told)]


@given(text=st.text(alphabet='{}[]",:\\u0a1e-.tru \n', max_size=60), at=cuts)
def test_feed__no_json(text, at):
    """Text that is no JSON breaks it off, at the same place however it is cut."""
    stream = read(pieces(text, at))

    assert stream.told == read([text]).told
    with contextlib.suppress(ValueError):
        json.loads(text)
        assert not stream.broken


@pytest.mark.parametrize(
    "text",
    [
        "{,}",
        '{"a" 1}',
        '{"a":1,}',
        "[1,]",
        "[1 2]",
        "[}",
        "]",
        '{"a":nope}',
        '{"a":NaN}',
        '{"a":"\\x"}',
        '{"a":"\\u12g4"}',
        "{1:2}",
        "[" * 1000,
    ],
)
def test_feed__broken(text):
    """It stops, and tells nothing more."""
    stream = read([text])
    told = len(stream.told)
    stream.feed('{"a": 1}')

    assert stream.broken
    assert len(stream.told) == told


def test_feed__duplicate_keys():
    """Both are told, in their order."""
    stream = read(['{"a": 1, "a": 2}'], depth=1)

    assert [told[3] for told in stream.told if told[1] == ("a",) and told[0] == "closed"] == [1, 2]


def test_feed__time():
    """A large text in small pieces takes about as long as in large ones."""
    item = {"id": "x", "text": 'Some text with "quotes" and \n lines', "list": list(range(10))}
    text = json.dumps({"components": [item] * 3000})
    for size in (1, 10, 1000, len(text)):
        began = time.perf_counter()
        stream = read([text[at : at + size] for at in range(0, len(text), size)])
        print(f"{len(text)} characters by {size}: {time.perf_counter() - began:.3f} s")
        assert stream.done

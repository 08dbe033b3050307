"""Limits as text, and the values in them."""

from collections.abc import Collection
from dataclasses import fields
from typing import Annotated, Literal, get_type_hints

import msgspec
import pytest

from overlay.server import Limits
from overlay.server.values import expected, read_pairs, read_value


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("5000", int, 5000),
        ("none", int | None, None),
        ("None", int | None, None),
        ("7", int | None, 7),
        ("0.5", float, 0.5),
        ("2", Annotated[int, msgspec.Meta(ge=1)], 2),
        ("yes", bool, True),
        ("False", bool, False),
        ("a,b , c", Collection[str], ["a", "b", "c"]),
        ("1,2", tuple[int, ...], [1, 2]),
        ("none", Collection[str] | None, None),
        ("none", str, "none"),
        ("length", Literal["length", "close"], "length"),
    ],
)
def test_a_value_is_read_by_its_type(text, kind, value):
    assert read_value(text, kind) == value


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("", int, "expected a whole number, got ''"),
        ("-1", int, "expected a whole number"),
        ("1.5", int, "expected a whole number"),
        ("5_000", int, "expected a whole number"),
        ("٣", int, "expected a whole number"),
        ("9" * 5000, int, "expected a whole number"),
        ("many", int | None, "expected a whole number or none"),
        ("none", int, "expected a whole number"),
        ("nan", float, "expected a number of 0 or more"),
        ("inf", float, "expected a number of 0 or more"),
        ("-0.1", float, "expected a number of 0 or more"),
        ("maybe", bool, "expected yes or no"),
        (" , ", Collection[str], "expected a list such as a,b"),
        ("1,x", tuple[int, ...], "expected a whole number, got 'x'"),
        ("no", Literal["length", "close"], "expected length or close"),
        ("x", dict[str, str], "expected "),
    ],
)
def test_what_was_expected_is_said(text, kind, message):
    with pytest.raises(ValueError) as caught:
        read_value(text, kind)
    assert str(caught.value).startswith(message)


def test_pairs():
    assert read_pairs(["a=1", "b=x=y", "c="]) == {"a": "1", "b": "x=y", "c": ""}
    for texts in (["a"], ["=1"], ["a=1", "a=2"]):
        with pytest.raises(ValueError):
            read_pairs(texts)


def test_limits_from_text():
    limits = Limits().parse(
        ["requests=5000", "max_input_bytes=10", "enqueued_tokens=7", "windows=24h,48h", "one_model=no"]
    )
    assert limits == Limits(
        max_requests=5000, max_input_bytes=10, enqueued_tokens=7, windows=["24h", "48h"], one_model=False
    )
    assert Limits(enqueued_tokens=7).parse(["enqueued_tokens=none"]) == Limits()
    assert Limits.lenient().parse(["requests=5"]).endpoints is None
    assert Limits().parse(["endpoints=none"]).endpoints is None
    assert Limits().parse([]) == Limits()


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["request=5"], "there is no limit 'request'; there are requests, input_bytes"),
        (["requests"], "expected name=value, got 'requests'"),
        (["requests=many"], "requests: expected a whole number, got 'many'"),
        (["requests=1", "requests=2"], "requests is given twice"),
        (["requests=1", "max_requests=2"], "requests is given twice"),
        (["windows=soon"], "a completion window is a number and one of s, m, h, d"),
    ],
)
def test_what_is_no_limit_is_said(texts, message):
    with pytest.raises(ValueError) as caught:
        Limits().parse(texts)
    assert str(caught.value).startswith(message)


def test_every_limit_can_be_typed():
    """A limit that is added is an option of `overlay serve` at once; one of a new type needs a reader."""
    kinds = get_type_hints(Limits)
    assert kinds.keys() == {each.name for each in fields(Limits)}
    assert [name for name, kind in kinds.items() if not expected(kind)] == []

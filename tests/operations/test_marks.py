"""One pair of metadata says whose a batch is, and what is written can be read again."""

import pytest

from overlay.operations.marks import (
    KEY,
    Mark,
    callers_own,
    input_of,
    legacy_pairs,
    mark_of,
    new_home,
    new_nonce,
)

LARGEST = Mark(new_nonce(), new_home(), "j" * 64, 999_999_999, 999_999_999, 999_999_999, (10**14, "f" * 16))


@pytest.mark.parametrize(
    "mark",
    [
        Mark(new_nonce()),
        Mark(new_nonce(), new_home(), "j", 1, 2, 3),
        Mark(new_nonce(), new_home(), "a.b-c_d", 1, 2, 0, input_of(7, "0123456789abcdef" * 4)),
        LARGEST,
    ],
    ids=lambda mark: f"{mark.job}",
)
def test_what_is_written_is_read(mark):
    pair = mark.pair()
    assert mark_of({"run": "7"} | pair) == mark
    assert list(pair) == [KEY]
    assert len(pair[KEY]) <= 512


def test_version_0_1_is_still_read():
    assert mark_of(legacy_pairs("j", 3, 1)) == Mark(None, None, "j", 3, 1)
    assert callers_own({"run": "7"} | legacy_pairs("j", 3, 1) | LARGEST.pair()) == {"run": "7"}


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        [],
        "text",
        {},
        {KEY: None},
        {KEY: 7},
        {KEY: ""},
        {KEY: "mine"},
        {KEY: "0" * 15},
        {KEY: "0" * 16 + "\n"},
        {KEY: "0" * 16 + "/" + "0" * 12 + "/../0.0.0"},
        {KEY: "0" * 16 + "/" + "0" * 12 + "/j/0.0"},
        {KEY: "0" * 16 + "/" + "0" * 12 + "/j/0.0.0/1"},
        {KEY: "0" * 16 + "/" + "0" * 12 + "/j/" + "9" * 400 + ".0.0"},
        {"overlay_job": "j", "overlay_shard": "-1", "overlay_generation": "0"},
        {"overlay_job": "j", "overlay_shard": "9" * 400, "overlay_generation": "0"},
        {"overlay_job": ["j"], "overlay_shard": "1", "overlay_generation": "0"},
    ],
    ids=lambda metadata: str(metadata)[:40],
)
def test_what_is_no_mark_is_none(metadata):
    assert mark_of(metadata) is None

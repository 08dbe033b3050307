"""What an object store is asked for: each put says for sure whether it was made."""

import functools
import sys

import pytest

from overlay import (
    Client,
    ConfigurationError,
    StorageError,
)
from overlay.jobs.object_store import objects
from overlay.jobs.object_store.objects import Objects


def test_a_put_on_a_condition_says_for_sure_whether_it_was_made(store):
    place = Objects("s3://bucket/home")
    for fault in ("refused", "failed", "answer lost"):
        faults = iter([fault])
        store.fault = lambda method, key, faults=faults: next(faults, None) if method == "PUT" else None
        version = place.create(f"a {fault}", b"first")
        assert version is not None
        assert place.create(f"a {fault}", b"second") is None
        faults = iter([fault])
        store.fault = lambda method, key, faults=faults: next(faults, None) if method == "PUT" else None
        changed = place.replace(f"a {fault}", b"third", version)
        assert changed not in (None, version)
        assert place.replace(f"a {fault}", b"fourth", version) is None
        assert place.read(f"a {fault}").data == b"third"
    assert place.replace("nothing", b"data", version) is None
    place.delete("a failed", "nothing")
    assert place.read("a failed") is None


def test_what_never_gets_an_answer_is_a_storage_error(store, monkeypatch):
    monkeypatch.setattr(objects, "_PATIENCE", 0.05)
    store.fault = lambda method, key: "failed"
    with pytest.raises(StorageError, match="s3://bucket/home/id"):
        Objects("s3://bucket/home").create("id", b"data")


def test_the_address_must_be_one(tmp_path):
    make = functools.partial(Client, token="sk-x", base_url="http://127.0.0.1:1/v1")
    for address in (
        "gs://bucket/jobs",
        "s3:///jobs",
        "s3://bucket?x=1",
        tmp_path.__class__("s3://bucket/jobs"),
    ):
        with pytest.raises(ConfigurationError, match="not a place for jobs"):
            make(home=address)
    with make(home="s3://bucket/jobs/") as client:
        assert client.jobs.home == "s3://bucket/jobs"


def test_the_extra_is_named_where_it_is_missing(store, monkeypatch):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(ConfigurationError, match=r"\[object-store\]"):
        Objects("s3://bucket/home").read("id")

"""An object store on loopback, and a home in it."""

import pytest
from support.object_store import ObjectStore

from overlay.jobs.object_store import lease, objects
from overlay.jobs.object_store.homes import StoredHome

LEASE_SECONDS = 0.3


@pytest.fixture
def store(monkeypatch):
    store = ObjectStore()
    monkeypatch.setattr(lease, "LEASE_SECONDS", LEASE_SECONDS)
    monkeypatch.setattr(objects, "_PAUSE", 0.001)
    monkeypatch.setattr(objects, "_RETRIES", {"max_retries": 0})
    with store.serving() as address:
        for name, value in {
            "AWS_ENDPOINT_URL": address,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        objects.objects_at.cache_clear()
        yield store
    objects.objects_at.cache_clear()


@pytest.fixture
def home(store, tmp_path):
    return StoredHome("s3://bucket/home", tmp_path / "copies")

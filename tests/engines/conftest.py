"""A service, and clients of it, for jobs over an engine of threads."""

import functools

import pytest
from support.local_engine import Answers

from overlay import Client
from overlay.server import Service


@pytest.fixture
def asked():
    return Answers()


@pytest.fixture
def service(asked):
    with Service(asked) as service:
        yield service


@pytest.fixture
def make(service, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-worker")
    return functools.partial(Client, base_url=service.base_url, home=tmp_path / "home")

"""`examples/airflow_reviews.py`, called as Airflow's workers and its triggerer call it, in several processes."""

import asyncio
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from airflow.sdk.exceptions import TaskDeferred
from questions import KEY

EXAMPLE = Path(__file__).parents[3] / "examples" / "airflow_reviews.py"
REVIEWS = ["I loved it.", "Never again.", "Well."]


@pytest.fixture
def shared(service, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", service.base_url)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OVERLAY_HOME", str(tmp_path / "shared"))


@pytest.fixture
def example():
    spec = importlib.util.spec_from_file_location("airflow_reviews", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["airflow_reviews"] = module
    spec.loader.exec_module(module)
    return module


def in_a_process(expression):
    """What an expression about the example gives, evaluated by another process."""
    script = f"import json, airflow_reviews as example; print(json.dumps({expression}))"
    environment = os.environ | {"PYTHONPATH": str(EXAMPLE.parent)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def test_the_graph(example):
    graph = example.reviews()
    assert [(each.task_id, sorted(each.upstream_task_ids)) for each in graph.topological_sort()] == [
        ("submit", []),
        ("wait", ["submit"]),
        ("read", ["wait"]),
    ]


def test_submitted_waited_for_and_read(shared, service, example):
    submit = f"example.submit.function('reviews-1', {REVIEWS!r})"
    assert in_a_process(submit) == "reviews-1"
    assert in_a_process(submit) == "reviews-1"  # the task is run again
    with pytest.raises(TaskDeferred) as deferred:
        example.WaitForJob(task_id="wait", job_id="reviews-1", poll=0.2).execute({})
    path, arguments = deferred.value.trigger.serialize()
    assert path == "airflow_reviews.JobTrigger"

    async def triggered():
        trigger = example.JobTrigger(**arguments)
        return [event.payload async for event in trigger.run()]

    (event,) = asyncio.run(triggered())
    assert event["ok"] + event["failed"] == len(REVIEWS)
    answers = in_a_process("example.read.function('reviews-1')")
    assert len(answers) == len(REVIEWS)
    assert sum(each is not None for each in answers) == event["ok"]
    assert service.count("POST", "/batches") == 1

"""The Grafana dashboard queries metrics and labels that the code has, by Prometheus' rules of naming."""

import json
import re
from pathlib import Path

import pytest
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from overlay import Telemetry
from overlay.telemetry import names

DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD = json.loads((DOCS / "assets" / "telemetry-dashboard.json").read_text())
PAGE = (DOCS / "how-to" / "telemetry.md").read_text()
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
UNITS = {"s": "_seconds"}
LABELS = {value.replace(".", "_") for value in vars(names).values() if isinstance(value, str)}


@pytest.fixture(scope="module")
def series():
    """The names of all series, each of OpenTelemetry's and what Prometheus makes of it."""
    provider = MeterProvider([InMemoryMetricReader()])
    instruments = vars(Telemetry(meter_provider=provider)._instruments)
    kinds = {each.name: type(each) for each in instruments.values() if hasattr(each, "name")}
    found = {}
    for name, (unit, _) in names.METRICS.items():
        base = name.replace(".", "_") + UNITS.get(unit, "")
        if issubclass(kinds.get(name, object), Histogram):
            found |= {f"{base}{part}": name for part in ("_bucket", "_count", "_sum")}
        else:
            found[base + "_total" * issubclass(kinds.get(name, object), Counter)] = name
    return found


def queried(text):
    return set(re.findall(r"\b(?:overlay|gen_ai|http|url|error)_\w+", text))


def test_each_metric_that_is_queried_exists(series):
    asked = set().union(*map(queried, QUERIES))
    assert asked - series.keys() - LABELS == set()
    assert {series[each] for each in asked & series.keys()} == names.METRICS.keys()
    (provider,) = (each for each in DASHBOARD["templating"]["list"] if each["name"] == "provider")
    assert queried(provider["query"]) - series.keys() - LABELS == set()


def test_the_page_names_every_metric_and_only_queries_those(series):
    assert {name for name in names.METRICS if f"| `{name}` |" in PAGE} == names.METRICS.keys()
    assert queried(PAGE) - series.keys() - LABELS == set()


def test_panels_have_places_of_their_own():
    squares = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(squares) == len(set(squares))
    assert max(x for x, _ in squares) == 23
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))

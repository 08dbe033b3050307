"""The service's figures for Prometheus. All are read when they are asked for, so that counting costs nothing."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from overlay.server.monitoring.survey import Survey
from overlay.server.monitoring.traffic import Traffic
from overlay.server.upstreams.figures import Health, Latencies

# What became of requests to an upstream: fields of its health.
_RESULTS = ("answered", "refused", "trouble", "slow", "rate_limited", "key_refused")


class Metrics:
    """A registry of its own: the service may run in a program that has metrics, too."""

    def __init__(self, survey: Survey, traffic: Traffic) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Figures(survey, traffic))
        PlatformCollector(registry=self._registry)
        ProcessCollector(registry=self._registry)

    def exposed(self, accept: str) -> tuple[bytes, str]:
        """What is answered to somebody who accepts these types, and its own."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Figures(Collector):
    def __init__(self, survey: Survey, traffic: Traffic) -> None:
        self._survey = survey
        self._traffic = traffic

    def collect(self) -> Iterator[Metric]:
        survey, traffic, tallies = self._survey, self._traffic, self._survey.engine.tallies
        yield _gauge("overlay_batches", "Batches by status.", "status", survey.batches())
        yield _counter("overlay_lines", "Lines that ended, by outcome.", "outcome", tallies.lines)
        yield _counter(
            "overlay_line_failures", "Lines that failed, by status or error code.", "code", tallies.failures
        )
        yield GaugeMetricFamily(
            "overlay_lines_queued", "Lines of batches in progress without an answer.", survey.queued()
        )
        yield GaugeMetricFamily(
            "overlay_disk_free_bytes", "Room on the disk of the state.", survey.free_bytes()
        )
        yield GaugeMetricFamily(
            "overlay_ready", "Whether the service can take requests.", not survey.not_ready()
        )
        requests = CounterMetricFamily(
            "overlay_http_requests", "Requests of clients.", labels=["kind", "method", "status"]
        )
        for labels, count in list(traffic.requests.items()):
            requests.add_metric(labels, count)
        yield requests
        yield GaugeMetricFamily(
            "overlay_http_requests_in_flight", "Requests of clients under way.", traffic.in_flight
        )
        seconds = HistogramMetricFamily("overlay_http_request_seconds", "How long requests of clients took.")
        _add(seconds, [], traffic.latencies)
        yield seconds
        yield from self._upstreams()

    def _upstreams(self) -> Iterator[Metric]:
        servers = self._survey.upstreams()
        names = [_name(each) for each in servers]
        for metric, about, values in (
            (
                "up",
                "Whether the server answers for all models.",
                [each.state == "closed" for each in servers],
            ),
            ("in_flight", "Lines under way at the server.", [each.in_flight for each in servers]),
            ("live", "Requests passed through to the server, under way.", [each.live for each in servers]),
            ("at_once", "Lines that the server is given at once.", [each.at_once for each in servers]),
        ):
            yield _gauge(
                f"overlay_upstream_{metric}", about, "upstream", dict(zip(names, values, strict=True))
            )
        asked = CounterMetricFamily(
            "overlay_upstream_requests",
            "Requests of lines to the server, by what became of them.",
            labels=["upstream", "result"],
        )
        for name, each in zip(names, servers, strict=True):
            for result in _RESULTS:
                asked.add_metric([name, result], getattr(each, result))
        yield asked
        seconds = HistogramMetricFamily(
            "overlay_upstream_seconds", "How long the server took for a line.", labels=["upstream"]
        )
        for name, latencies in zip(names, self._survey.latencies(), strict=True):
            _add(seconds, [name], latencies)
        yield seconds


def _name(health: Health) -> str:
    return health.url if health.model is None else f"{health.model}={health.url}"


def _gauge(name: str, about: str, label: str, values: dict[str, int] | dict[str, bool]) -> Metric:
    family = GaugeMetricFamily(name, about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _counter(name: str, about: str, label: str, values: dict[str, int]) -> Metric:
    family = CounterMetricFamily(name, about, labels=[label])
    for key, value in list(values.items()):
        family.add_metric([key], value)
    return family


def _add(family: HistogramMetricFamily, labels: list[str], latencies: Latencies) -> None:
    counts, total, buckets = list(latencies.counts), 0, list[tuple[str, float]]()
    for bound, count in zip((*latencies.bounds, float("inf")), counts, strict=True):
        total += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), total))
    family.add_metric(labels, buckets, latencies.total)

"""What a server did, as Prometheus reads it from /metrics. Names and values only: never a prompt or a reply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from model.serving.own import OwnModel
from model.serving.served import ServedModel

SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300)
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
KNOWN = frozenset({"/", "/health", "/metrics", "/v1/models", "/v1/chat/completions", "/v1/completions", "/v1/embeddings"})


class Metrics:
    """Counters of one server."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter("folio_requests", "requests answered", ["path", "status"], registry=self._registry)
        self._seconds = Histogram(
            "folio_request_seconds", "from request to the end of its answer", ["path"], buckets=SECONDS, registry=self._registry
        )
        self._registry.register(_Engines(models))

    def observe(self, path: str, status: int, seconds: float) -> None:
        """Note an answered request. Unknown paths share one name, so clients can't flood the page."""
        known = path if path in KNOWN else "/v1/models/*" if path.startswith("/v1/models/") else "other"
        self._requests.labels(known, str(status)).inc()
        self._seconds.labels(known).observe(seconds)

    def page(self) -> bytes:
        """Return the metrics as text."""
        return generate_latest(self._registry)


class _Engines(Collector):
    """Reads each engine when it is asked."""

    def __init__(self, models: Mapping[str, ServedModel]) -> None:
        self._models = models

    def collect(self) -> Iterator[Metric]:
        running = GaugeMetricFamily("folio_replies_running", "replies being written and vectors being computed", labels=["model"])
        waiting = GaugeMetricFamily("folio_replies_waiting", "replies that wait for a row, and requests for vectors", labels=["model"])
        alive = GaugeMetricFamily("folio_model_up", "whether the model can answer", labels=["model"])
        written = CounterMetricFamily("folio_tokens_written", "tokens of finished replies", labels=["model"])
        steps = CounterMetricFamily("folio_steps", "passes of the network that wrote tokens", labels=["model"])
        faults = CounterMetricFamily("folio_faults", "passes that failed", labels=["model"])
        for name, model in self._models.items():
            at_work, queued = model.load()
            running.add_metric([name], at_work)
            waiting.add_metric([name], queued)
            alive.add_metric([name], float(model.alive))
            if isinstance(model, OwnModel):
                written.add_metric([name], model.engine.written)
                steps.add_metric([name], model.engine.steps)
                faults.add_metric([name], model.engine.faults)
        yield from (running, waiting, alive, written, steps, faults)

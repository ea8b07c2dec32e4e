"""Events as Prometheus counters and log lines.

No token, code, secret, argument or note text is in an Event.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.audit.events import Event

log = logging.getLogger("brain")


class Observer:
    """Takes every Event of the process. `text()` is the Prometheus exposition."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._events = Counter(
            "brain_events",
            "Decisions and refusals by door, operation, decision and (for refusals) reason.",
            ("door", "operation", "decision", "reason"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "brain_operation_seconds",
            "Time that allowed operations took.",
            ("operation",),
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self._registry,
        )

    def count(self, event: Event) -> None:
        """In the metric alone. For what was reported a moment ago and comes again and again."""
        # The first word of a refusal's reason is one of a small set; the policy's reasons are not.
        reason = event.reason.partition(" ")[0] if event.decision == "refuse" else ""
        self._events.labels(event.door, event.operation, event.decision, reason).inc()

    def __call__(self, event: Event) -> None:
        self.count(event)
        if event.decision == "allow":
            self._seconds.labels(event.operation).observe(event.ms / 1000)
            log.debug("allow", extra={"event": event})
        else:
            log.info("%s", event.decision, extra={"event": event})

    def shows(self, name: str, words: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        """A gauge that is read when somebody looks: a value for each value of `label`."""
        self._registry.register(_Gauge(name, words, label, values))

    def text(self) -> bytes:
        return generate_latest(self._registry)


class _Gauge(Collector):
    def __init__(self, name: str, words: str, label: str, values: Callable[[], Mapping[str, float]]) -> None:
        self._name, self._words, self._label, self._values = name, words, label, values

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._words, labels=[self._label])
        for labelled, value in self._values().items():
            family.add_metric([labelled], value)
        if family.samples:
            yield family

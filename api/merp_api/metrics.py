"""Every metric of the gateway. Labels are route templates and words of our own: no id, name or user is one."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram, start_http_server

# Whatever else a client calls a method would be a series of its own.
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_REQUESTS: Final = Counter(
    "merp_api_requests_total", "Requests, by method, route and status.", ["method", "route", "status"]
)
_SECONDS: Final = Histogram(
    "merp_api_request_duration_seconds",
    "Duration of a request until the last of its answer is sent, by method and route.",
    ["method", "route"],
)
STREAMS: Final = Gauge("merp_api_streams_open", "Answers that go on for long, such as logs that are followed.")
WRITES: Final = Counter("merp_api_writes_total", "What was written to the cluster, by action.", ["action"])


def count_request(method: str, route: str, status: int, seconds: float) -> None:
    """A request whose answer is complete; `route` is a template."""
    known = method if method in _METHODS else "other"
    _REQUESTS.labels(known, route, status).inc()
    _SECONDS.labels(known, route).observe(seconds)


def serve(address: str, port: int) -> None:
    """Answer Prometheus on a port of its own, in a thread. Raises OSError where it is taken."""
    start_http_server(port, address)

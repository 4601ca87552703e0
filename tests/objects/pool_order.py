"""In which order a pool gave room and how many ran at once, from what watches of the API server told alone."""

from typing import Any

Json = dict[str, Any]


def admissions(pools: list[Json]) -> list[str]:
    """The runs in the order in which the pool gave them room."""
    order: dict[str, None] = {}
    for item in pools:
        order |= dict.fromkeys(entry["run"] for entry in (item.get("status") or {}).get("admitted", []))
    return list(order)


def most_at_once(jobs: list[Json]) -> int:
    """How many runs were let go and not ended, at most."""
    running: set[str] = set()
    most = 0
    for job in jobs:
        ended = any(entry["type"] in ("Complete", "Failed") for entry in job["status"].get("conditions", []))
        if job["spec"].get("suspend") or ended or job.get("deleted"):
            running.discard(job["metadata"]["name"])
        else:
            running.add(job["metadata"]["name"])
        most = max(most, len(running))
    return most

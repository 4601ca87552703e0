"""Jobs that wait for each other. Pure."""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Final

# A longer path nobody reads; its beginning and its end are shown.
_SHOWN: Final = 10


def cycles(graph: Mapping[str, Sequence[str]], name: str) -> tuple[str, ...] | None:
    """The shortest way along `dependsOn` from a job back to itself, as (a, b, a); None if there is none.

    `graph` holds the upstreams of each job. One that only leads into a cycle is no member of it. Each job and each
    dependency is looked at once at most.
    """
    came_from: dict[str, str] = {}
    ahead = deque([name])
    while ahead:
        at = ahead.popleft()
        for upstream in graph.get(at, ()):
            if upstream == name:
                return _path(came_from, name, at)
            if upstream not in came_from:
                came_from[upstream] = at
                ahead.append(upstream)
    return None


def path_text(path: Sequence[str]) -> str:
    """A path for people: `a → b → a`."""
    if len(path) > _SHOWN:
        half = _SHOWN // 2
        path = [*path[:half], f"… {len(path) - 2 * half} more …", *path[-half:]]
    return " → ".join(path)


def _path(came_from: Mapping[str, str], name: str, last: str) -> tuple[str, ...]:
    way = [name]
    while last != name:
        way.append(last)
        last = came_from[last]
    return (*reversed([*way[1:], name]), name) if len(way) > 1 else (name, name)

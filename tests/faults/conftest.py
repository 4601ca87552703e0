"""How long the faults last: minutes in the ordinary run, longer when asked for."""

from collections.abc import Iterator

import pytest
from durations import Durations, long

from merp_cluster.cluster import Cluster


@pytest.fixture(scope="session")
def durations() -> Durations:
    """Short, unless MERP_FAULTS=long."""
    if long():
        return Durations(outage=230.0, one_away=230.0, kills=600.0, database_away=300.0, runs=200)
    # Two due times of a minute's job must be more than 60 s late when both are back; where one clock is left, one due
    # time is enough. They begin about 25 s after a full minute, and neither their middle nor their end may be on an edge.
    return Durations(outage=165.0, one_away=110.0, kills=120.0, database_away=60.0, runs=40)


@pytest.fixture
def controller_manager(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, whose controller manager may be stopped; it runs again afterwards."""
    yield cluster
    cluster.start("kube-controller-manager")

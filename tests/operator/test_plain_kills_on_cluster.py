"""The operator killed at its writes in the life of plain runs: no record is lost, none is there twice, the end is the same.

In the ordinary run all stories are told at once, and of each kind of write one is cut off, before the API server has it or
after; with MERP_FAULTS=long each story is told again for each of its writes, also the one that waits for its minute.
"""

import itertools
from pathlib import Path

import pytest
from cutting_proxy import Moment
from durations import long
from killed_courses import Courses, at_every_write, one_of_each_kind
from plain_scenarios import NATIVE, SCENARIOS
from scenarios import Scenario, together

from merp_cluster.cluster import Cluster

# The long form: courses of some twenty seconds, three of them side by side.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(5400 if long() else 1500)]


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(entry, id=entry.name) for entry in ([*SCENARIOS, NATIVE] if long() else [together(SCENARIOS)])],
)
def test_the_end_is_the_same(
    cluster: Cluster, definitions: None, task_image: str, tmp_path: Path, scenario: Scenario
) -> None:
    courses = Courses(scenario, cluster, task_image, tmp_path)
    writes, cuts = courses.compare(at_every_write if long() else {"one of each kind": one_of_each_kind()})
    if long():
        assert cuts == set(itertools.product(writes, Moment))
    else:
        assert {what for what, _ in cuts} == writes

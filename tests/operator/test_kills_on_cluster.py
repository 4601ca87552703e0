"""The operator killed between any two of its writes: what the runs come to is what they come to unharmed.

In the ordinary run all stories are told at once, and of each kind of write one is cut off before the API server has it and
one after; with MERP_FAULTS=long each story is told again for each of its writes.
"""

import itertools
from pathlib import Path

import pytest
from cutting_proxy import Moment
from durations import long
from gate_scenarios import SCENARIOS
from killed_courses import Courses, at_every_write, of_each_kind
from scenarios import Scenario, together

from merp_cluster.cluster import Cluster

# The long form: hundreds of courses of some twelve seconds, three of them side by side.
pytestmark = [pytest.mark.cluster, pytest.mark.timeout(5400 if long() else 1500)]


@pytest.mark.parametrize(
    "scenario",
    [pytest.param(entry, id=entry.name) for entry in (SCENARIOS if long() else [together(SCENARIOS)])],
)
def test_the_end_is_the_same(
    cluster: Cluster, definitions: None, task_image: str, tmp_path: Path, scenario: Scenario
) -> None:
    courses = Courses(scenario, cluster, task_image, tmp_path)
    writes, cuts = courses.compare(at_every_write if long() else {"of each kind": of_each_kind()})
    assert cuts == set(itertools.product(writes, Moment))

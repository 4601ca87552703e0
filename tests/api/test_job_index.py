"""The views of all jobs: each made once for as long as it is true, and in every order that is asked for."""

import random
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from merp_api import job_index
from merp_api.filters import JobSort, JobsQuery
from merp_api.job_index import JobIndex
from merp_api.rankings import Ranking
from merp_api.views import job_view
from merp_crds.common import parse_rfc3339
from merp_crds.names import ANNOTATION_PAUSED

NOW = parse_rfc3339("2026-12-01T00:00:00Z")


def job(name: str, namespace: str = "default", note: str | None = None, **spec: Any) -> Any:
    annotations = {} if note is None else {ANNOTATION_PAUSED: note}
    metadata = {
        "name": name, "namespace": namespace, "uid": f"{namespace}/{name}", "generation": 1, "resourceVersion": "1",
        "creationTimestamp": "2026-11-01T00:00:00Z", "annotations": annotations,
    }  # fmt: skip
    return {"metadata": metadata, "spec": {"task": {"func": "echo_args"}} | spec, "status": {"observedGeneration": 1}}


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the jobs whose views were made."""
    names: list[str] = []

    def count(item: Any, zone: str, now: Any) -> Any:
        names.append(item["metadata"]["name"])
        return job_view(item, zone, now)

    monkeypatch.setattr(job_index, "job_view", count)
    return names


def ids(index: JobIndex, now: Any = NOW, **query: Any) -> list[str]:
    return [view.id for view in index.page(None, JobsQuery.model_validate(query), now)[0]]


def test_a_view_is_made_once_while_it_is_true(made: list[str]) -> None:
    index = JobIndex("UTC")
    index.changed(None, job("a"))
    index.changed(None, job("b", note='{"until": "2026-12-02T00:00:00Z"}'))
    for hours in (0, 12, 23):
        assert ids(index, NOW + timedelta(hours=hours), status=["paused"]) == ["b"]
    assert made == ["a", "b"]
    assert ids(index, NOW + timedelta(hours=24), status=["paused"]) == []
    assert made == ["a", "b", "b"]


def test_of_a_job_that_changes_often_one_end_is_kept() -> None:
    index = JobIndex("UTC")
    before = None
    for number in range(100):
        after = job("a", note='{"until": "2026-12-02T00:00:00Z"}', description=str(number))
        index.changed(before, after)
        assert ids(index, status=["paused"]) == ["a"]
        before = after
    assert len(index._ends) == 1
    assert ids(index, NOW + timedelta(hours=24), status=["paused"]) == []


def test_views_are_made_a_few_at_a_time(made: list[str]) -> None:
    index = JobIndex("UTC")
    for name in ("a", "b", "c"):
        index.changed(None, job(name))
    assert [index.refresh(NOW, 2), len(made), index.refresh(NOW, 2), len(made)] == [False, 2, True, 3]


def test_a_job_whose_view_cannot_be_made_takes_away_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_at_b(item: Any, zone: str, now: Any) -> Any:
        if item["spec"].get("broken"):
            raise OverflowError("nobody thought of that")
        return job_view(item, zone, now)

    monkeypatch.setattr(job_index, "job_view", break_at_b)
    index = JobIndex("UTC")
    good, broken = job("b"), job("b", broken=True)
    index.changed(None, job("a"))
    index.changed(None, good)
    assert ids(index) == ["a", "b"]
    index.changed(good, broken)
    index.changed(None, job("c"))
    assert ids(index) == ids(index) == ["a", "c"]
    assert [record.getMessage() for record in caplog.records if record.name == "merp_api.job_index"] == [
        "the view of default/b cannot be made: it is left out of lists"
    ]
    index.changed(broken, good)
    assert ids(index) == ["a", "b", "c"]


def test_a_text_is_found_in_one_of_the_texts_alone() -> None:
    index = JobIndex("UTC")
    index.changed(None, job("ab", displayName="cd"))
    index.changed(None, job("ef"))
    assert [ids(index, text=text) for text in ("AB", "d", "bcd", "de", "echo")] == [
        ["ab"], ["ab"], [], [], ["ab", "ef"],
    ]  # fmt: skip


def test_whatever_namespaces_are_asked_for_so_many_orders_are_kept() -> None:
    index = JobIndex("UTC")
    index.changed(None, job("a"))
    assert ids(index) == ["a"]
    for number in range(1000):
        assert index.page(f"none-{number}", JobsQuery.model_validate({}), NOW)[0] == []
        assert ids(index) == ["a"]
    assert len(index._orders) <= 300


@pytest.mark.parametrize("few", [0, 3, 1000], ids=["one-by-one", "both", "by-their-places"])
def test_after_any_changes_pages_are_as_if_all_were_looked_at(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(job_index, "_FEW", few)
    draw = random.Random(7)
    index, there = JobIndex("UTC"), dict[tuple[str, str], Any]()
    for _ in range(150):
        key = draw.choice(("default", "erp")), f"job-{draw.randrange(12)}"
        after = None
        if draw.random() < 0.75:
            after = job(key[1], key[0], displayName=draw.choice("xyz"), priority=draw.choice(("high", "normal", "low")))
        if after is not None or key in there:
            index.changed(there.get(key), after)
        there.pop(key, None)
        if after is not None:
            there[key] = after
        namespace, text = draw.choice((None, "erp")), draw.choice((None, "x", "1"))
        asked = {"sort": draw.choice(list(JobSort)), "text": text, "limit": 3}
        cursor = None
        for _ in range(10):
            query = JobsQuery.model_validate(asked | {"cursor": cursor})
            ranking = Ranking(query)
            for item in there.values():
                if namespace in (None, item["metadata"]["namespace"]):
                    ranking.add(job_view(item, "UTC", NOW))
            page = index.page(namespace, query, NOW)
            assert page == ranking.page()
            cursor = page[1]
            if cursor is None:
                break

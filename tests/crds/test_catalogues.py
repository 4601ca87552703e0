"""Catalogues: from what is published, by image, and which connections a job has for what they ask."""

import json
from pathlib import Path
from typing import Any

import pytest

from merp_crds import connections
from merp_crds.catalogue import Catalogue
from merp_crds.catalogue_files import CatalogueFiles
from merp_crds.scheduledjob import Template
from merp_runner.catalogue import config_map

Json = dict[str, Any]


def printed(*names: str) -> str:
    return json.dumps({"v": 1, "tasks": [{"name": name} for name in names], "broken": []})


def test_what_the_runner_publishes_is_read() -> None:
    made = config_map("erp-tasks", "registry.example/erp@sha256:0a", {"v": 1, "tasks": [{"name": "close_day"}]})
    assert Catalogue.of_config_map(made) == Catalogue(
        "registry.example/erp@sha256:0a", {"close_day": {"name": "close_day"}}
    )


@pytest.mark.parametrize(
    ("data", "says"),
    [
        pytest.param(None, "data.image: must be", id="no-data"),
        pytest.param({"catalogue.json": printed("a")}, "data.image: must be", id="no-image"),
        pytest.param({"image": " \n", "catalogue.json": printed("a")}, "data.image: must be", id="blank-image"),
        pytest.param({"image": "x" * 513, "catalogue.json": printed("a")}, "at most 512", id="image-too-long"),
        pytest.param({"image": "a:1"}, "data.catalogue.json: is missing", id="no-catalogue"),
        pytest.param({"image": "a:1", "catalogue.json": ""}, "is no output of `merp-runner catalogue`", id="empty"),
        pytest.param({"image": "a:1", "catalogue.json": "[" * 100_000}, "is no output of", id="nested-too-deeply"),
        pytest.param({"image": "a:1", "catalogue.json": "[]"}, "no list `tasks`", id="a-list"),
        pytest.param({"image": "a:1", "catalogue.json": '{"tasks": {"a": 1}}'}, "no list `tasks`", id="tasks-no-list"),
        pytest.param({"image": "a:1", "catalogue.json": '{"tasks": [{}]}'}, "no list `tasks`", id="no-name"),
        pytest.param({"image": "a:1", "catalogue.json": printed("a", "a")}, "a name of its own", id="a-name-twice"),
    ],
)
def test_what_is_no_catalogue_is_refused_with_the_key(data: Json | None, says: str) -> None:
    with pytest.raises(ValueError, match=r"^data\.") as caught:
        Catalogue.of_config_map({"metadata": {"name": "x"}, "data": data})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("func", "expected"),
    [
        pytest.param("inventory_check", None, id="known"),
        pytest.param("inventory_chek", "the image tasks:1 has no task 'inventory_chek': did you mean inventory_check?",
                     id="near"),
        pytest.param("zzz", "the image tasks:1 has no task 'zzz': it has inventory_check, report", id="far"),
    ],
)  # fmt: skip
def test_an_unknown_task(func: str, expected: str | None) -> None:
    assert Catalogue.parse(printed("inventory_check", "report"), "tasks:1").unknown(func) == expected


def test_of_many_tasks_some_are_named() -> None:
    found = Catalogue.parse(printed(*(f"task_{number:04}" for number in range(2000))), "a:1").unknown("zzz")
    assert found is not None
    assert found.endswith("task_0019 and 1980 more")


class TestFiles:
    """The ConfigMaps that the chart mounts, as the kubelet puts them there."""

    @staticmethod
    def put(folder: Path, name: str, image: str, text: str) -> None:
        (folder / name).mkdir(exist_ok=True, parents=True)
        (folder / name / "image").write_text(image, encoding="utf-8")
        new = folder / name / "new"
        new.write_text(text, encoding="utf-8")
        new.replace(folder / name / "catalogue.json")

    def test_each_is_known_by_its_image_and_the_default_goes_first(self, tmp_path: Path) -> None:
        default = tmp_path / "catalogue.json"
        default.write_text(printed("inventory_check"), encoding="utf-8")
        more = tmp_path / "more"
        self.put(more, "a", "erp:1\n", printed("close_day"))
        self.put(more, "b", "erp:1", printed("other"))
        self.put(more, "c", "tasks:1", printed("other"))
        found = CatalogueFiles(default, "tasks:1", more).by_image()
        assert {image: sorted(known.tasks) for image, known in found.items()} == {
            "tasks:1": ["inventory_check"],
            "erp:1": ["close_day"],
        }

    def test_one_that_changes_is_read_anew_and_one_that_goes_is_gone(self, tmp_path: Path) -> None:
        files = CatalogueFiles(None, "tasks:1", tmp_path)
        assert files.by_image() == {}
        self.put(tmp_path, "a", "erp:1", printed("old"))
        first = files.by_image()["erp:1"]
        assert files.by_image()["erp:1"] is first
        self.put(tmp_path, "a", "erp:1", printed("new"))
        assert list(files.by_image()["erp:1"].tasks) == ["new"]
        (tmp_path / "a" / "catalogue.json").unlink()
        assert files.by_image() == {}

    def test_a_broken_one_is_logged_once_by_its_path_and_hides_no_other(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        self.put(tmp_path, "broken", "erp:1", "{")
        self.put(tmp_path, "good", "erp:2", printed("close_day"))
        (tmp_path / "no-image").mkdir()
        (tmp_path / "no-image" / "catalogue.json").write_text(printed("a"), encoding="utf-8")
        files = CatalogueFiles(tmp_path / "absent.json", "tasks:1", tmp_path)
        assert list(files.by_image()) == list(files.by_image()) == ["erp:2"]
        # Python itself logs what it finds at any time, such as what an earlier test left behind.
        said = [record.getMessage() for record in caplog.records if record.name == "merp_crds.catalogue_files"]
        assert [text.split(" ")[0] for text in said] == [
            str(tmp_path / "broken" / "catalogue.json"),
            str(tmp_path / "no-image" / "catalogue.json"),
        ]


ERP: Json = {"name": "MERP_CONNECTION_ERP", "valueFrom": {"secretKeyRef": {"name": "erp", "key": "url"}}}


def mount(path: str) -> Json:
    return {"volumeMounts": [{"name": "v", "mountPath": path}]}


def container(**fields: Any) -> Json:
    return {"podTemplate": {"spec": {"containers": [{"name": "task", **fields}]}}}


@pytest.mark.parametrize(
    ("names", "template", "default_env", "expected"),
    [
        pytest.param([], None, [], False, id="none"),
        pytest.param(["erp"], None, [], True, id="named"),
        pytest.param(["wms"], {}, [], False, id="another-one"),
        pytest.param([], {"env": [ERP]}, [], True, id="a-variable"),
        pytest.param([], {}, [ERP], True, id="a-variable-of-every-job"),
        pytest.param([], {"image": "mine:1"}, [ERP], False, id="not-of-one-on-its-own-image"),
        pytest.param([], mount("/etc/merp-connections/erp"), [], True, id="a-folder-mounted-by-hand"),
        pytest.param([], mount("/etc/merp-connections/erp/"), [], True, id="written-with-a-slash"),
        pytest.param([], mount("/output"), [], False, id="another-folder"),
        pytest.param([], mount("/etc/merp-connections"), [], True, id="all-of-them-by-hand-cannot-be-told"),
        pytest.param([], mount("/etc"), [], True, id="a-folder-above-cannot-be-told"),
        pytest.param([], {"envFrom": [{"secretRef": {"name": "s"}}]}, [], True, id="env-from-cannot-be-told"),
        pytest.param([], {"env": [{"name": "MERP_CONNECTIONS", "value": "/c"}]}, [], True, id="elsewhere"),
        pytest.param([], container(env=[ERP]), [], True, id="the-pod-template-cannot-be-told"),
        pytest.param([], container(tty=True), [], False, id="a-pod-template-about-something-else"),
        pytest.param([], {"podTemplate": {"spec": {"containers": None}}}, [], False, id="a-pod-template-of-nulls"),
    ],
)
def test_which_connections_a_job_has(
    names: list[str], template: Json | None, default_env: list[Json], expected: bool
) -> None:
    read = None if template is None else Template.model_validate(template)
    assert connections.given(names, read, default_env)("erp") is expected


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        pytest.param(None, None, id="none"),
        pytest.param({}, None, id="the-default"),
        pytest.param({"image": "mine:1"}, "mine:1", id="its-own"),
        pytest.param({"image": "mine:1"} | container(image="mine:2"), "mine:2", id="the-pod-templates-is-merged-over"),
        pytest.param(
            {"podTemplate": {"spec": {"containers": [{"name": "proxy", "image": "p:1"}]}}}, None, id="another"
        ),
    ],
)
def test_the_image_of_a_job(template: Json | None, expected: str | None) -> None:
    assert connections.own_image(None if template is None else Template.model_validate(template)) == expected

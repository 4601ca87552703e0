"""What puts the catalogue into its ConfigMap: the file it takes, and what it says of one that is none."""

import json
import sys

import pytest

from merp_operator import publish

CATALOGUE = json.dumps({"v": 1, "tasks": [{"name": "inventory_check", "title": {"zh": "库存盘点"}}], "broken": []})


def test_a_catalogue_is_published_as_it_was_printed(tmp_path):
    file = tmp_path / "catalogue.json"
    file.write_text(CATALOGUE, encoding="utf-8")
    text, catalogue = publish.read(file, "tasks:1")
    assert (text, list(catalogue.tasks)) == (CATALOGUE, ["inventory_check"])
    assert publish.config_map("erp-system", "erp-catalogue", "tasks:1", text) == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": "erp-catalogue",
            "namespace": "erp-system",
            "labels": {"scheduler.merp.io/catalogue": "true"},
        },
        "data": {"image": "tasks:1", "catalogue.json": CATALOGUE},
    }


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(None, "cannot be read", id="no-file"),
        pytest.param(b"", "is no catalogue: give the output of `merp-runner catalogue`", id="empty"),
        pytest.param(b"Traceback (most recent call last):", "is no catalogue", id="no-json"),
        pytest.param(b"[]", "is no catalogue", id="a-list"),
        pytest.param(b'{"v": 1}', "is no catalogue", id="no-tasks"),
        pytest.param(b'{"tasks": [{"title": {}}]}', "is no catalogue", id="a-task-without-a-name"),
        pytest.param(b"\xff\xfe", "cannot be read", id="no-utf-8"),
        pytest.param(b" " * (2**20 + 1), "larger than 1 MiB", id="too-large-for-a-config-map"),
    ],
)
def test_another_file_is_refused(tmp_path, content, says):
    file = tmp_path / "catalogue.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(publish.PublishError, match=says) as caught:
        publish.read(file, "tasks:1")
    assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize(
    ("broken", "sentences"),
    [
        pytest.param([], [], id="none"),
        pytest.param(
            [{"task": "a", "error": "no type"}, {"module": "erp.tasks", "error": "No module named 'x'"}],
            ["not in the catalogue: a: no type", "not in the catalogue: erp.tasks: No module named 'x'"],
            id="a-task-and-a-module",
        ),
    ],
)
def test_what_is_broken_is_told(broken, sentences):
    assert publish.broken(json.dumps({"v": 1, "tasks": [], "broken": broken})) == sentences


def test_outside_a_cluster_it_ends_with_one_sentence(tmp_path, monkeypatch):
    file = tmp_path / "catalogue.json"
    file.write_text(CATALOGUE, encoding="utf-8")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(sys, "argv", ["publish", str(file), "erp-catalogue", "tasks:1"])
    with pytest.raises(SystemExit, match="there is no service account to publish with"):
        publish.main()

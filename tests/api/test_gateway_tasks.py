"""`/tasks`: what jobs may call, in the reader's language."""

from typing import Any

import pytest

from merp_crds.catalogue import Catalogue
from merp_runner.catalogue import catalogue as catalogue_of
from merp_runner.tasks import REGISTRY
from merp_tasks.commands import run_command
from merp_tasks.inventory import inventory_check

IMAGE = "registry.example/merp-tasks:1"


@pytest.fixture
def catalogue() -> Catalogue:
    """As `merp-runner catalogue` prints it; `old` is as an older runner did."""
    wanted = {run_command.__name__, inventory_check.__name__}
    entries = {task["name"]: task for task in catalogue_of(REGISTRY)["tasks"] if task["name"] in wanted}
    return Catalogue(IMAGE, entries | {"old": {"name": "old", "description": "Old."}})


@pytest.mark.parametrize(
    ("wanted", "title", "description"),
    [
        pytest.param("en", "Stock-taking", "Compare book stock with counted stock, for one warehouse or for all."),
        pytest.param("zh-CN", "库存盘点", "比对账面库存与实盘库存，可针对一个仓库或全部仓库。"),
    ],
)
async def test_one_task_by_language(gateway: Any, wanted: str, title: str, description: str) -> None:
    answer = await gateway.get("/api/v1/tasks/inventory_check", headers={"Accept-Language": wanted})
    body = answer.json()
    assert (body["title"], body["description"], body["image"]) == (title, description, IMAGE)
    assert (answer.headers["content-language"], answer.headers["vary"]) == (wanted[:2], "Accept-Language")
    assert body["parameters"]["properties"]["detailed"] == {
        "type": "boolean", "default": False, "description": "List the largest differences, by value",
    }  # fmt: skip
    assert body["positional"] == ["warehouse", "detailed", "tolerance_percent"]


async def test_every_task_and_which_are_privileged(applications: Any) -> None:
    gateway = applications(settings={"merp_privileged_tasks": "run_command, sql_script"})
    body = (await gateway.get("/api/v1/tasks")).json()
    assert [(task["name"], task["privileged"]) for task in body["items"]] == [
        ("inventory_check", False), ("old", False), ("run_command", True),
    ]  # fmt: skip
    assert body["checked"] is True
    assert body["items"][1] == {
        "name": "old", "title": "old", "description": "Old.", "image": IMAGE, "privileged": False,
        "parameters": {"type": "object"}, "positional": [], "positional_only": [], "rest": None,
    }  # fmt: skip


async def test_without_a_catalogue_any_task_may_be_called(applications: Any) -> None:
    gateway = applications(catalogue=None)
    assert (await gateway.get("/api/v1/tasks")).json() == {"items": [], "checked": False}


async def test_an_unknown_task_names_what_is_near(gateway: Any) -> None:
    answer = await gateway.get("/api/v1/tasks/inventory_chek")
    assert answer.status_code == 404
    assert answer.json()["detail"] == "there is no task 'inventory_chek': did you mean inventory_check?"


async def test_any_valid_token_is_enough(gateway: Any, cluster: Any) -> None:
    cluster.allow("t", "nobody")
    assert (await gateway.get("/api/v1/tasks", "t")).status_code == 200

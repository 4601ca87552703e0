"""Jobs that wait for each other: the path for every member, and none for others."""

import pytest

from merp_operator.cycles import cycles, path_text

DIAMOND: dict[str, tuple[str, ...]] = {"b": ("a",), "c": ("a",), "d": ("b", "c")}
TRIANGLE: dict[str, tuple[str, ...]] = {"a": ("b",), "b": ("c",), "c": ("a",), "x": ("a",), "y": ()}


@pytest.mark.parametrize(
    ("graph", "name", "expected"),
    [
        pytest.param({}, "a", None, id="does-nothing-no-jobs"),
        pytest.param(DIAMOND, "d", None, id="does-nothing-a-diamond"),
        pytest.param({"a": ("gone",)}, "a", None, id="an-upstream-that-is-not-there"),
        pytest.param({"a": ("a",)}, "a", ("a", "a"), id="itself"),
        pytest.param({"a": ("b",), "b": ("a",)}, "a", ("a", "b", "a"), id="two"),
        pytest.param({"a": ("b",), "b": ("a",)}, "b", ("b", "a", "b"), id="two-seen-by-the-other"),
        pytest.param(TRIANGLE, "a", ("a", "b", "c", "a"), id="three"),
        pytest.param(TRIANGLE, "c", ("c", "a", "b", "c"), id="three-seen-by-the-last"),
        pytest.param(TRIANGLE, "x", None, id="leads-into-a-cycle-and-is-none"),
        pytest.param(TRIANGLE | {"c": ()}, "a", None, id="healed-without-that-edge"),
        pytest.param(TRIANGLE | {"b": ("c", "a")}, "a", ("a", "b", "a"), id="the-shortest"),
    ],
)
def test_the_path_back(graph: dict[str, tuple[str, ...]], name: str, expected: tuple[str, ...] | None) -> None:
    assert cycles(graph, name) == expected


def test_a_large_graph_is_walked_once() -> None:
    number = 5_000
    # Each depends on the next thirty: ways without number, edges 150,000.
    graph = {f"j{i}": tuple(f"j{(i + step) % number}" for step in range(1, 31)) for i in range(number)}
    path = cycles(graph, "j0")
    assert path is not None
    assert (path[0], path[-1], len(path)) == ("j0", "j0", -(-number // 30) + 1)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(("a", "b", "a"), "a → b → a", id="short"),
        pytest.param(
            tuple("abcdefghijklma"), "a → b → c → d → e → … 4 more … → j → k → l → m → a", id="cut-in-the-middle"
        ),
    ],
)
def test_a_path_for_people(path: tuple[str, ...], expected: str) -> None:
    assert path_text(path) == expected

"""What the project promises of its own files."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_no_package_hides_the_standard_librarys_operator() -> None:
    # -S: a .pth that happens to import early would hide the fault on this machine and not in an image.
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import operator; print(operator.__file__)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert str(ROOT) not in done.stdout
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_no_test_folder_is_a_package() -> None:
    found = [path for path in (ROOT / "tests").rglob("__init__.py") if "merp_cluster" not in path.parts]
    assert found == []


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, id=name)
        for name in ("LICENSE", "README.md", ".github/CONTRIBUTING.md", "uv.lock", "requirements.txt")
    ],
)
def test_the_files_that_people_look_for_are_there_and_filled(name: str) -> None:
    assert (ROOT / name).stat().st_size > 200

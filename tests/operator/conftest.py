"""What the operator's tests on the cluster stand on: an operator that can be killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kube import Kube
from operator_process import OperatorProcess


@pytest.fixture
def operator(kube: Kube, tmp_path: Path) -> Iterator[OperatorProcess]:
    """An operator for the test's namespace."""
    process = OperatorProcess(tmp_path, kube.cluster.kubeconfig, kube.namespace)
    process.start()
    yield process
    process.stop()

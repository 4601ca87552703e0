"""Who starts servers side by side gets ports of their own, also before these listen."""

import subprocess
import sys
from pathlib import Path

import free_port
import pytest

# Says which port it has, and keeps it until its input ends.
CHOOSES = "import sys, free_port; print(free_port.free_port(), flush=True); sys.stdin.read()"


@pytest.mark.processes
def test_what_another_process_has_chosen_is_chosen_by_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    command, environment = [sys.executable, "-c", CHOOSES], {"PYTHONPATH": str(Path(__file__).parent)}
    with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        port = int(other.stdout.readline())
        monkeypatch.setattr(free_port, "_PORTS", range(port, port + 1))
        with pytest.raises(RuntimeError, match="no port"):
            free_port.free_port()
    assert free_port.free_port() == port
    with pytest.raises(RuntimeError, match="no port"):
        free_port.free_port()

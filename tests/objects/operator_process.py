"""The operator as a process of this machine, so that a test can kill it at any moment, and see its coverage."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from free_port import free_port

from merp_cluster.cache import cache_root

# Two seconds on a quiet machine. On one with a load of fourteen on two cores 36 were seen.
_START_SECONDS = 300.0
# Ten of them it has to write its last records.
_STOP_SECONDS = 180.0
_ANSWER_SECONDS = 30.0


class OperatorProcess:
    """One operator for one namespace, with its records in an SQLite file of `folder`."""

    def __init__(self, folder: Path, kubeconfig: Path, namespace: str, **environment: str) -> None:
        self.database = folder / "records.db"
        self.log = folder / "operator.log"
        self._port = free_port()
        self._environment = {
            "MERP_KUBECONFIG": str(kubeconfig),
            "MERP_WATCH_NAMESPACE": namespace,
            "MERP_SQLITE_PATH": str(self.database),
            "MERP_HEALTH_PORT": str(self._port),
            # Compiled once, also where the machine's setting forbids it: half of what a start costs.
            "PYTHONDONTWRITEBYTECODE": "",
            "PYTHONPYCACHEPREFIX": str(cache_root() / "pycache"),
        } | environment
        # A benchmark has it as it is: whoever measures coverage slows it down.
        self.is_measured = True
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it has read the cluster."""
        self.launch()
        process = self._process
        deadline = time.monotonic() + _START_SECONDS
        while self.ask("readyz") != 200:
            assert process is not None, "it was launched"
            assert process.poll() is None, f"the operator ended: {self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"the operator is not ready: {self.log.read_text()[-3000:]}"
            time.sleep(0.1)

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        command = [sys.executable]
        if self.is_measured:
            command += ["-m", "coverage", "run", f"--rcfile={_root() / 'pyproject.toml'}"]
            command += [f"--data-file={_root() / '.coverage'}"]
        command += ["-m", "merp_operator"]
        with self.log.open("ab") as log:
            # In a folder of its own: a .env of the developer's must not reach it.
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=os.environ | self._environment, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """The process that runs."""
        assert self._process is not None, "it runs"
        return self._process.pid

    def stop(self) -> int:
        """End it as the kubelet does. Returns its exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """End it between two instructions."""
        return self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Let it stand still, as a paused machine does."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def ended(self, seconds: float) -> int:
        """Its exit code, once it has ended by itself. Raises subprocess.TimeoutExpired after `seconds`."""
        assert self._process is not None, "it runs"
        code = self._process.wait(seconds)
        self._process = None
        return code

    def ask(self, path: str) -> int:
        """The status of one of its health endpoints; 0 if it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/{path}", timeout=_ANSWER_SECONDS) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def metrics(self, seconds: float = _ANSWER_SECONDS) -> str:
        """What Prometheus would read. Raises TimeoutError where it stands still."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/metrics", timeout=seconds) as answer:
            return str(answer.read().decode())

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._signal(how)
        return self.ended(_STOP_SECONDS)

    def _signal(self, how: signal.Signals) -> None:
        assert self._process is not None, "it runs"
        self._process.send_signal(how)


def _root() -> Path:
    return Path(__file__).parents[2]

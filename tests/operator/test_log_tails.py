"""Which attempts' logs are read, how often, and until when they are kept."""

import asyncio
from typing import Any, cast

import pytest
from cluster_objects import job, pod

from merp_kube.client import ApiError, Unreachable
from merp_operator import attempt, log_tails
from merp_operator.cluster import Cluster
from merp_operator.log_tails import KEPT_CHARACTERS, LogTails
from merp_operator.observe import Run, read_run

Json = dict[str, Any]
KEY = ("ns", "j")
FAILED = {"exitCode": 1, "reason": "Error"}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        pytest.param(pod(running=True), False, id="does-nothing-it-works"),
        pytest.param(pod(terminated={"exitCode": 0}), False, id="does-nothing-it-succeeded"),
        pytest.param(pod(waiting={"reason": "ImagePullBackOff"}), False, id="it-never-started"),
        pytest.param(pod(waiting={"reason": "ImagePullBackOff"}, deleted=True), False, id="gone-before-it-started"),
        pytest.param(pod(terminated=FAILED), True, id="it-failed"),
        pytest.param(pod(terminated={"exitCode": 137, "reason": "OOMKilled"}), True, id="it-was-killed"),
        pytest.param(pod(running=True, deleted=True), True, id="it-is-being-ended"),
    ],
)
def test_whose_log_tells_why(item: Json, expected: bool) -> None:
    assert attempt.has_failed(item) is expected


class Logs:
    """The kubelet: what it answers, and how often it was asked."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def log_of(self, _pod: Json, container: str, *, lines: int, limit: int) -> str:
        assert (container, lines > 0, limit > 0) == ("task", True, True)
        self.asked += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(*pods: Json) -> Run:
    return read_run("j", job(), list(pods))


async def read(tails: LogTails, looked: asyncio.Event) -> None:
    """Let it work until it asks for a look."""
    work = asyncio.create_task(tails.run())
    async with asyncio.timeout(60):
        await looked.wait()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)


def tails_of(logs: Logs, *, enabled: bool = True) -> tuple[LogTails, asyncio.Event]:
    looked = asyncio.Event()
    return LogTails(cluster=cast(Cluster, logs), look=lambda _: looked.set(), enabled=enabled), looked


async def test_a_log_is_read_once_and_kept_until_the_records_have_it() -> None:
    logs = Logs("Traceback …\nboom")
    tails, looked = tails_of(logs)
    failed = run(pod(terminated=FAILED))
    tails.want(KEY, [failed])
    tails.want(KEY, [failed])
    assert (tails.is_pending(failed), tails.of(failed)) == (True, {})
    await read(tails, looked)
    assert tails.of(failed) == {"j-29926800-a": "Traceback …\nboom"}
    assert tails.is_pending(failed)
    tails.recorded(failed)
    assert (tails.is_pending(failed), tails.of(failed)) == (False, {})
    tails.want(KEY, [failed])
    assert (tails.is_pending(failed), logs.asked) == (False, 1)
    # A Job of that name that comes later has pods of its own; nothing is kept of this one.
    tails.forget(failed.pods)
    tails.want(KEY, [failed])
    assert tails.is_pending(failed)


async def test_the_end_of_a_long_log_is_kept() -> None:
    tails, looked = tails_of(Logs("x" * 100_000 + "the end"))
    failed = run(pod(terminated=FAILED))
    tails.want(KEY, [failed])
    await read(tails, looked)
    [text] = tails.of(failed).values()
    assert (len(text), text[-7:]) == (KEPT_CHARACTERS, "the end")


async def test_a_log_that_is_late_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_tails, "_FIRST_DELAY", 0.0)
    logs = Logs(Unreachable("GET …/log: too late"), "boom")
    tails, looked = tails_of(logs)
    failed = run(pod(terminated=FAILED))
    tails.want(KEY, [failed])
    await read(tails, looked)
    assert (list(tails.of(failed).values()), logs.asked) == (["boom"], 2)


async def test_a_log_that_is_gone_holds_up_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_tails, "_FIRST_DELAY", 0.0)
    gone = ApiError(404, {"reason": "NotFound", "message": "the node is gone"})
    tails, looked = tails_of(Logs(*[gone] * 4))
    failed = run(pod(terminated=FAILED))
    tails.want(KEY, [failed])
    await read(tails, looked)
    assert (tails.is_pending(failed), tails.of(failed)) == (False, {})
    assert "the log of ns/j-29926800-a cannot be read, so its record has none" in caplog.text


async def test_where_logs_are_not_wanted_none_is_read() -> None:
    logs = Logs()
    tails, _ = tails_of(logs, enabled=False)
    failed = run(pod(terminated=FAILED))
    tails.want(KEY, [failed])
    assert (tails.is_pending(failed), logs.asked) == (False, 0)

"""The same thing done with many jobs: each by itself, with a result of its own."""

import asyncio
from typing import Any, Final

from merp_api import problems, refusals
from merp_api.batch_views import BatchAction, BatchBody, BatchItemView, BatchView
from merp_api.identity import Caller
from merp_api.jobs import Jobs
from merp_api.pauses import Pauses
from merp_api.problems import FieldError, Problem
from merp_api.rules import read_body
from merp_api.runs import Runs
from merp_kube.client import ApiError, Unreachable

# At once. One caller's batch must not take the API server from everybody else.
_PARALLEL: Final = 8


class Batches:
    """Does one thing with many jobs, each with the caller's own rights."""

    def __init__(self, jobs: Jobs, pauses: Pauses, runs: Runs) -> None:
        self._jobs = jobs
        self._pauses = pauses
        self._runs = runs

    async def run(self, caller: Caller, namespace: str, data: Any, key: str | None) -> BatchView:
        """The result of each job, in the order of `ids`: what one refuses holds up no other. Raises Problem 400."""
        body = read_body(BatchBody, data)
        _check(body)
        room = asyncio.Semaphore(_PARALLEL)

        async def one(name: str) -> BatchItemView:
            async with room:
                return await self._one(caller, namespace, name, body, key)

        items = await asyncio.gather(*map(one, body.ids))
        done = sum(item.ok for item in items)
        return BatchView(
            action=body.action, dry_run=body.dry_run, items=list(items), succeeded=done, failed=len(items) - done
        )

    async def _one(self, caller: Caller, namespace: str, name: str, body: BatchBody, key: str | None) -> BatchItemView:
        try:
            execution = await self._act(caller, namespace, name, body, key)
        except (Problem, ApiError, Unreachable) as error:
            problem = error if isinstance(error, Problem) else refusals.problem(error)
            return BatchItemView(
                id=name, ok=False, status=problem.kind.status, type=problem.kind.type, detail=problem.detail
            )
        return BatchItemView(id=name, ok=True, status=200, execution_id=execution)

    async def _act(self, caller: Caller, namespace: str, name: str, body: BatchBody, key: str | None) -> str | None:
        """The id of the execution that was asked for, None for every other action and where nothing is changed."""
        match body.action:
            case BatchAction.PAUSE:
                note = {} if body.reason is None else {"reason": body.reason}
                await self._pauses.pause(caller, namespace, name, note, wait=False, rehearsal=body.dry_run)
            case BatchAction.RESUME:
                await self._pauses.resume(caller, namespace, name, wait=False, rehearsal=body.dry_run)
            case BatchAction.EXECUTE:
                view = await self._runs.execute(caller, namespace, name, {}, key, rehearsal=body.dry_run)
                return None if body.dry_run else view.id
            case BatchAction.DELETE:
                await self._jobs.delete(caller, namespace, name, rehearsal=body.dry_run)
        return None


def _check(body: BatchBody) -> None:
    wrong = [
        FieldError.in_body(["ids", index], "duplicate", f"{name} is in the list twice")
        for index, name in enumerate(body.ids)
        if name in body.ids[:index]
    ]
    if body.reason is not None and body.action is not BatchAction.PAUSE:
        wrong.append(FieldError.in_body(["reason"], "mismatch", "goes with action pause alone: leave it out"))
    if wrong:
        raise problems.validation(wrong)

"""The operator's process: what runs side by side, in which order it starts, and how it ends."""

import asyncio
import logging
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final

import kopf
from aiohttp import web
from kubernetes.aio.client import Configuration

from merp_crds.catalogue import Catalogue
from merp_kube.client import ApiError, Client, Unreachable, load_configuration
from merp_operator import handlers, health, metrics
from merp_operator.cluster import Cluster
from merp_operator.desired import Defaults
from merp_operator.reconcile import Reconciler
from merp_operator.recorder import Recorder
from merp_operator.settings import OperatorSettings
from merp_operator.watch import Key, Watch
from merp_operator.workqueue import WorkQueue
from merp_records.engine import create_engine

# Reconciles wait for the API server most of the time; two dozen keep one core busy.
_WORKERS: Final = 24
# The kubelet gives a pod 30 s to end.
_FLUSH_SECONDS: Final = 10.0
# Records are kept by the day.
_PURGE_SECONDS: Final = 3600.0
# A failure that lasts is logged when it begins, and then now and then.
_LOGGED_FAILURES: Final = frozenset({0, 4, 19, 99})

_log = logging.getLogger(__name__)


class Process:
    """One operator. `serve` runs until the process is told to stop, or until a part of it ends unexpectedly."""

    def __init__(self, settings: OperatorSettings, configuration: Configuration) -> None:
        self._settings = settings
        self._configuration = configuration
        self._client = Client(configuration)
        self._queue: WorkQueue[Key] = WorkQueue(time.monotonic)
        self._recorder = Recorder(create_engine(settings.url()), self._committed)
        self._watch = Watch(
            self._client,
            namespace=settings.merp_watch_namespace or None,
            changed=lambda namespace, name: self._queue.add((namespace, name)),
            vanished=self._job_vanished,
        )
        self._reconciler = Reconciler(
            cluster=Cluster(self._client),
            watch=self._watch,
            recorder=self._recorder,
            defaults=self._defaults,
            clock=lambda: datetime.now(UTC),
        )
        self._ready = False

    async def serve(self) -> None:
        """Run. Ends with the error of the part that failed, if one did."""
        runner = web.AppRunner(health.application(self._watch.reflectors, lambda: self._ready), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, port=self._settings.merp_health_port).start()
        # Started before kopf: at its end it cancels every task that came after its own.
        tasks = [asyncio.create_task(reflector.run()) for reflector in self._watch.reflectors]
        tasks.append(asyncio.create_task(self._recorder.run()))
        tasks.append(asyncio.create_task(self._work_when_synced()))
        tasks.append(asyncio.create_task(self._watch.resync_for_ever()))
        tasks.append(asyncio.create_task(self._purge_for_ever()))
        kopf_task = asyncio.create_task(self._kopf())
        try:
            done, _ = await asyncio.wait([*tasks, kopf_task], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if kopf_task not in done:
                raise RuntimeError("a part of the operator ended")
        finally:
            for task in [*tasks, kopf_task]:
                task.cancel()
            await asyncio.gather(*tasks, kopf_task, return_exceptions=True)
            await self._recorder.flush(_FLUSH_SECONDS)
            await runner.cleanup()
            await self._client.close()

    async def _kopf(self) -> None:
        namespace = self._settings.merp_watch_namespace
        await kopf.operator(
            registry=handlers.registry(self._watch, self._configuration),
            settings=handlers.settings(),
            standalone=True,
            clusterwide=not namespace,
            namespaces=[namespace] if namespace else [],
        )

    async def _work_when_synced(self) -> None:
        await self._watch.synced()
        self._ready = True
        _log.info(
            "the cluster is read: %d ScheduledJobs, %d Jobs",
            len(self._watch.scheduled_jobs.all()),
            len(self._watch.jobs),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._close_what_is_gone())
            for _ in range(_WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            metrics.QUEUE_DEPTH.set(len(self._queue))
            await self._look(key)

    async def _look(self, key: Key) -> None:
        try:
            with metrics.RECONCILE_SECONDS.time():
                delay = await self._reconciler.reconcile(key)
        except (ApiError, Unreachable) as error:
            metrics.RECONCILE_TOTAL.labels("retry").inc()
            self._failed(key, error)
        except Exception:  # noqa: BLE001  (the reason is on the next line)
            # A bug that one object meets must not stop all others: it is told in full, and tried again.
            metrics.RECONCILE_TOTAL.labels("bug").inc()
            _log.exception("reconcile of %s/%s failed", *key)
            self._queue.failed(key)
        else:
            metrics.RECONCILE_TOTAL.labels("done").inc()
            self._queue.done(key)
            if delay is not None:
                self._queue.add_after(key, delay)

    def _failed(self, key: Key, error: ApiError | Unreachable) -> None:
        failures = self._queue.failures(key)
        # A conflict is the answer to having read too early; the newer version is on its way.
        conflict = isinstance(error, ApiError) and error.status == HTTPStatus.CONFLICT
        delay = self._queue.failed(key, getattr(error, "retry_after", None))
        level = logging.WARNING if failures in _LOGGED_FAILURES and not conflict else logging.DEBUG
        _log.log(level, "reconcile of %s/%s: %s; next try in %.1f s", *key, error, delay)

    async def _purge_for_ever(self) -> None:
        while True:
            deleted = await self._recorder.purge()
            if deleted:
                _log.info("deleted %d records that were older than their job keeps them", deleted)
            await asyncio.sleep(_PURGE_SECONDS)

    async def _close_what_is_gone(self) -> None:
        """What ended while no operator watched: rows of Jobs and of ScheduledJobs that are not there any more."""
        opened = await self._recorder.open_executions()
        gone = [row.id for row in opened if self._watch.jobs.get(row.namespace, row.run_name) is None]
        if gone:
            await self._recorder.close(gone)
            _log.info("closed %d records of Jobs that are gone", len(gone))
        present = {item["metadata"]["uid"] for item in self._watch.scheduled_jobs.all()}
        for job_id in await self._recorder.known_jobs() - present:
            self._recorder.job_deleted(job_id, datetime.now(UTC))

    def _job_vanished(self, job: dict[str, object], pods: list[dict[str, object]]) -> None:
        self._reconciler.job_vanished(job, pods)

    def _committed(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            key = self._reconciler.key_of(job_id)
            if key is not None:
                self._queue.add(key)

    def _defaults(self) -> Defaults:
        settings = self._settings
        return Defaults(
            image=settings.merp_default_image,
            time_zone=settings.merp_default_time_zone,
            catalogue=Catalogue.load(settings.merp_catalogue, settings.merp_default_image),
            env=tuple(settings.merp_default_env),
        )


async def run(settings: OperatorSettings) -> None:
    """Find the cluster, and serve it."""
    await Process(settings, await load_configuration(settings.merp_kubeconfig)).serve()

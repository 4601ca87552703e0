"""The operator's process: what runs side by side, in which order it starts, and how it ends."""

import asyncio
import logging
import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from http import HTTPStatus
from typing import Any, Final

import kopf
from aiohttp import web
from kubernetes.aio.client import Configuration

from merp_crds import names
from merp_crds.catalogue_files import CatalogueFiles
from merp_kube.client import ApiError, Client, Unreachable, load_configuration
from merp_operator import handlers, health, leader, metrics
from merp_operator.calendar_statuses import CalendarStatuses
from merp_operator.clock import Clock
from merp_operator.cluster import Cluster
from merp_operator.desired import Defaults
from merp_operator.expectations import Expectations
from merp_operator.gates import Gates
from merp_operator.jobruns import JobRuns
from merp_operator.log_tails import LogTails
from merp_operator.own import Key
from merp_operator.picture import Pictures
from merp_operator.pools import Pools
from merp_operator.published import Published
from merp_operator.reconcile import Reconciler
from merp_operator.recorder import Recorder
from merp_operator.scheduled_job_statuses import ScheduledJobStatuses
from merp_operator.settings import OperatorSettings
from merp_operator.starter import Starter
from merp_operator.watch import Watch
from merp_operator.workqueue import WorkQueue

# Reconciles wait for the API server most of the time; two dozen keep one core busy.
_WORKERS: Final = 24
# A pool whose status is slow to write must not hold up the others.
_POOL_WORKERS: Final = 4
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
        self._elector = _elector(settings, configuration)
        self._client = leader.LeadersClient(configuration, self._elector.hold_or_end)
        self._queue: WorkQueue[Key] = WorkQueue(time.monotonic)
        self._recorder = Recorder(settings.create_engine(), self._committed, now=self._client.clock.now)
        self._watch = Watch(
            self._client,
            namespace=settings.merp_watch_namespace or None,
            changed=self._changed,
            hurry=self._hurry,
            calmly=self._calmly,
            vanished=self._job_vanished,
            pool_changed=lambda namespace, name: self._pools.changed(namespace, name),
        )
        now, cluster = self._client.clock.now, Cluster(self._client)
        self._catalogues = CatalogueFiles(
            settings.merp_catalogue, settings.merp_default_image, settings.merp_catalogues
        )
        self._published = self._new_published(cluster) if settings.merp_published_catalogues else None
        expectations = Expectations(time.monotonic)
        pictures = Pictures(self._watch, expectations, self._defaults)
        starter = Starter(
            cluster=cluster,
            watch=self._watch,
            pictures=pictures,
            expectations=expectations,
            defaults=self._defaults,
            now=now,
        )
        self._clock = Clock(now=now, due=starter.due, start=starter.start, started=self._queue.add)
        self._pools = Pools(
            cluster=cluster,
            watch=self._watch,
            expectations=expectations,
            look=self._queue.add,
            look_later=self._queue.add_after,
            now=now,
            clock=time.monotonic,
        )
        self._log_tails = LogTails(cluster=cluster, look=self._queue.add, enabled=settings.merp_log_tails)
        self._calendar_statuses = CalendarStatuses(cluster=cluster, watch=self._watch, now=now)
        self._reconciler = Reconciler(
            cluster=cluster,
            watch=self._watch,
            recorder=self._recorder,
            pictures=pictures,
            starter=starter,
            job_runs=JobRuns(
                cluster=cluster, watch=self._watch, recorder=self._recorder, expectations=expectations, clock=now
            ),
            log_tails=self._log_tails,
            statuses=ScheduledJobStatuses(cluster=cluster, watch=self._watch, clock=time.monotonic),
            gates=Gates(cluster=cluster, pictures=pictures, expectations=expectations, pools=self._pools),
            defaults=self._defaults,
            now=now,
            plan=self._clock.plan,
        )
        self._ready = False
        self._told_to_stop = asyncio.Event()

    async def serve(self) -> None:
        """Stand by until this process leads, then work. Ends with the error of the part that failed, if one did."""
        runner = web.AppRunner(health.application(self._tried, self._is_ready), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, port=self._settings.merp_health_port).start()
        self._take_signals()
        # Started before kopf: at its end it cancels every task that came after its own.
        stop = asyncio.create_task(self._told_to_stop.wait())
        election = asyncio.create_task(self._elector.run())
        parts = [reflector.run for reflector in self._watch.reflectors]
        parts += [] if self._published is None else [self._published.run]
        parts += [self._recorder.run, self._work_when_synced, self._watch.resync_for_ever]
        tasks = [asyncio.create_task(self._as_leader(part)) for part in [*parts, self._kopf]]
        try:
            done, _ = await asyncio.wait({stop, election, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if stop not in done:
                raise RuntimeError("a part of the operator ended")
        finally:
            # The election last: until the last record is written nobody else may lead.
            await _end([stop, *tasks])
            await self._recorder.flush(_FLUSH_SECONDS)
            await _end([election])
            await self._elector.release()
            await runner.cleanup()
            await self._client.close()

    async def _as_leader(self, part: Callable[[], Awaitable[None]]) -> None:
        """A standby keeps no picture of the cluster: where it lags, Jobs of the old leader would look as if deleted."""
        await self._elector.won.wait()
        await part()

    def _is_ready(self) -> bool:
        """A leader that works, or a standby that could take over: a rolling update waits for it."""
        return self._ready if self._elector.won.is_set() else self._elector.stands_by

    def _tried(self) -> Iterable[health.Tried]:
        if not self._elector.won.is_set():
            return (self._elector,)
        return (*self._watch.reflectors, *([] if self._published is None else [self._published.reflector]))

    def _take_signals(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._told_to_stop.set)

    async def _kopf(self) -> None:
        namespace = self._settings.merp_watch_namespace
        others = asyncio.all_tasks()
        parts = await kopf.spawn_tasks(
            registry=handlers.registry(self._watch, self._configuration),
            settings=handlers.settings(),
            standalone=True,
            clusterwide=not namespace,
            namespaces=[namespace] if namespace else [],
        )
        # Told to stop, kopf would wait five seconds for the workers, which never end; cancelled, it waits for nothing.
        self._take_signals()
        await kopf.run_tasks(parts, ignored=others)

    async def _work_when_synced(self) -> None:
        await self._watch.synced()
        if self._published is not None:
            # A job that is refused must not look good for a moment at each start.
            await self._published.reflector.synced.wait()
        self._ready = True
        _log.info(
            "the cluster is read: %d ScheduledJobs, %d Jobs",
            len(self._watch.scheduled_jobs.all()),
            len(self._watch.jobs),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._close_what_is_gone())
            group.create_task(self._clock.run())
            group.create_task(self._calendar_statuses.run())
            group.create_task(self._log_tails.run())
            # Only now does it know what time it is by the API server's clock.
            group.create_task(self._purge_for_ever())
            for _ in range(_POOL_WORKERS):
                group.create_task(self._pools.run())
            for _ in range(_WORKERS):
                group.create_task(self._work())

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            metrics.QUEUE_DEPTH.set(len(self._queue))
            await self._clock.turn_of_others()
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
        # Of its own namespace alone where it serves one: others share the database, and are not in its picture.
        served = self._settings.merp_watch_namespace or None
        # What goes from now on has a look of its own, which knows how it ended.
        seen = self._run_ids()
        opened = [row for row in await self._recorder.open_executions() if served in (None, row.namespace)]
        seen |= self._run_ids()
        gone = [row.id for row in opened if row.id not in seen]
        if gone:
            await self._recorder.close(gone)
            _log.info("closed %d records of Jobs that are gone", len(gone))
        known = await self._recorder.known_jobs(served)
        for job_id in known - {item["metadata"]["uid"] for item in self._watch.scheduled_jobs.all()}:
            self._recorder.job_deleted(job_id, self._client.clock.now())

    def _run_ids(self) -> set[str]:
        """The ids of the records of the runs that are there."""
        found = (job["metadata"] for job in self._watch.jobs)
        return {
            names.execution_id(metadata["labels"].get(names.LABEL_SCHEDULED_JOB_UID, ""), metadata["name"])
            for metadata in found
        }

    def _changed(self, namespace: str, name: str) -> None:
        self._queue.add((namespace, name))
        self._pools.job_changed(namespace, name)

    def _hurry(self, namespace: str, name: str) -> None:
        self._queue.add((namespace, name), first=True)
        self._pools.job_changed(namespace, name)

    def _calmly(self, namespace: str, name: str) -> None:
        self._queue.add_calmly((namespace, name))
        self._pools.job_changed(namespace, name)

    def _job_vanished(self, job: dict[str, object], pods: list[dict[str, object]]) -> None:
        self._reconciler.job_vanished(job, pods)

    def _committed(self, job_ids: Iterable[str]) -> None:
        for job_id in job_ids:
            key = self._reconciler.key_of(job_id)
            if key is not None:
                self._queue.add_calmly(key)

    def _defaults(self) -> Defaults:
        settings = self._settings
        installed = self._catalogues.by_image()
        return Defaults(
            image=settings.merp_default_image,
            time_zone=settings.merp_default_time_zone,
            catalogue=installed.get(settings.merp_default_image),
            env=tuple(settings.merp_default_env),
            installed=installed,
            published={} if self._published is None else self._published.by_image,
        )

    def _new_published(self, cluster: Cluster) -> Published:
        return Published(
            self._client,
            cluster,
            namespace=self._settings.merp_watch_namespace or None,
            changed=self._catalogues_changed,
            now=self._client.clock.now,
        )

    def _catalogues_changed(self, namespace: str) -> None:
        for item in self._watch.scheduled_jobs.of(namespace):
            self._queue.add((namespace, item["metadata"]["name"]))


def _elector(settings: OperatorSettings, configuration: Configuration) -> leader.Elector | leader.Alone:
    if not settings.merp_lease_namespace:
        return leader.Alone()
    return leader.Elector(
        # One for the request, one in case that a connection hangs.
        Client(configuration, connections=2),
        namespace=settings.merp_lease_namespace,
        name=settings.merp_lease_name,
        identity=leader.new_identity(settings.merp_pod_name),
    )


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def run(settings: OperatorSettings) -> None:
    """Find the cluster, and serve it."""
    await Process(settings, await load_configuration(settings.merp_kubeconfig)).serve()

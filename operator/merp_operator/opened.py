"""What opened which run: the annotation that a run carries, and what the status keeps of it. Pure."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Final

from merp_crds import names
from merp_crds.common import LABEL_LENGTH
from merp_crds.scheduledjob import Opened, Require
from merp_operator.gate import OpenedBy
from merp_operator.observe import Json, Run
from merp_operator.upstreams import Upstream
from merp_operator.windows import share

# What a status may list.
_UPSTREAM: Final = names.MAX_NAME_LENGTH
_RUN: Final = LABEL_LENGTH


def annotation(opened_by: OpenedBy) -> str:
    """The value of `opened-by`: a list of upstream and run."""
    return json.dumps([{"upstream": upstream, "run": run} for upstream, run in opened_by], separators=(",", ":"))


def opened_by(job: Json) -> OpenedBy:
    """What the annotation of a Job says; nothing where somebody wrote into it what cannot be read."""
    text = (job["metadata"].get("annotations") or {}).get(names.ANNOTATION_OPENED_BY)
    try:
        told = json.loads(text) if text else []
    except (ValueError, RecursionError):
        return ()
    entries = [entry for entry in told if isinstance(entry, dict)] if isinstance(told, list) else []
    pairs = [(_name(entry, "upstream"), _name(entry, "run")) for entry in entries]
    return tuple((upstream, run) for upstream, run in pairs if 0 < len(upstream) <= _UPSTREAM and 0 < len(run) <= _RUN)


def _name(entry: Json, field: str) -> str:
    found = entry.get(field)
    return found if isinstance(found, str) else ""


def fold(
    before: Iterable[Opened], runs: Iterable[Run], upstreams: Mapping[str, Upstream], require: Require
) -> list[Opened]:
    """What the status is to list: what it listed and what the runs of this job say, as far as it still matters.

    An entry is kept as long as its upstream run is visible. A due time opens a gate once, so a rerun of it is listed
    with it as soon as both are seen, and under Any so are the runs that other upstreams have for it. Bounded: each
    upstream has its share, and keeps its newest.
    """
    due = {(name, run.name): run.due_time for name, upstream in upstreams.items() for run in upstream.runs}
    told = {(entry.upstream, entry.run, entry.opened) for entry in before}
    told |= {(upstream, run, own.name) for own in runs for upstream, run in opened_by(own.job)}
    seen = {entry for entry in told if entry[:2] in due}

    def moment(upstream: str, run: str) -> tuple[str, datetime]:
        return "" if require is Require.ANY else upstream, due[upstream, run]

    openers = {moment(upstream, run): own for upstream, run, own in sorted(seen, reverse=True)}
    listed = {entry[:2] for entry in seen}
    seen |= {(*key, openers[moment(*key)]) for key in due.keys() - listed if moment(*key) in openers}
    limit = share(len(upstreams))
    kept: list[tuple[str, str, str]] = []
    for name in sorted(upstreams):
        mine = sorted((entry for entry in seen if entry[0] == name), key=lambda entry: (due[entry[:2]], entry))
        kept += mine[-limit:]
    return [Opened(upstream=upstream, run=run, opened=own) for upstream, run, own in kept]

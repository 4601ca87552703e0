"""The command line: `python -m merp_runner`, `merp-runner`."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys

from merp_runner.catalogue import MAX_BYTES, catalogue, config_map, config_map_name, text_of
from merp_runner.discovery import discover
from merp_runner.logs import Log
from merp_runner.masking import Masking
from merp_runner.request import Request, parse, request, request_in
from merp_runner.run import STOPPED, Run, settle_streams
from merp_runner.stop import Stop, Stopped
from merp_runner.tasks import REGISTRY

DIRECTORY = "/etc/merp"


def main(argv: list[str] | None = None) -> int:
    """Return the exit code: the run's; for the catalogue 0, or 1 if something in it is broken or it is too large.

    Without arguments the task is read from MERP_TASK_DIR and run.
    """
    stop = Stop()
    try:
        stop.install()
        _prepare_streams()
        options = _parser().parse_args(sys.argv[1:] if argv is None else argv)
        masking = Masking.from_environment(os.environ)
        log = Log(masking)
        if options.command == "catalogue":
            code = _catalogue(log, options.config_map, options.image)
        else:
            code = Run(stop, masking, log).run(lambda: _request(options))
    except Stopped:  # before the run began
        code = STOPPED
    settle_streams()
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="merp-runner", description="Runs one registered task.")
    parser.set_defaults(command="run", func=None, directory=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    run = commands.add_parser("run", help="run a task (the default)", description="Runs a task and reports the end.")
    run.add_argument("func", nargs="?", metavar="FUNC", help="name of the task; without it: read from a directory")
    run.add_argument("--from", dest="directory", metavar="DIR", help=f"default: MERP_TASK_DIR, else {DIRECTORY}")
    run.add_argument("--args", metavar="JSON", default="[]", help="positional arguments, a JSON list")
    run.add_argument("--kwargs", metavar="JSON", default="{}", help="keyword arguments, a JSON object")
    run.add_argument("--due-time", metavar="TIME", default="", help="RFC 3339, for example 2026-12-01T00:00:00+08:00")
    run.add_argument("--time-zone", metavar="ZONE", default="", help="IANA name such as Asia/Shanghai; default UTC")
    listed = commands.add_parser("catalogue", help="print the tasks and their JSON Schemas")
    listed.add_argument(
        "--config-map", metavar="NAME", type=config_map_name, help="print a ConfigMap of that name, for kubectl apply"
    )
    listed.add_argument("--image", metavar="IMAGE", help="with --config-map: this image, as ScheduledJobs name it")
    return parser


def _request(options: argparse.Namespace) -> Request:
    if options.func is None:
        return request_in(options.directory or os.environ.get("MERP_TASK_DIR") or DIRECTORY)
    return request(
        options.func,
        parse(options.args, "--args"),
        parse(options.kwargs, "--kwargs"),
        options.due_time,
        options.time_zone,
    )


def _catalogue(log: Log, name: str | None, image: str | None) -> int:
    # What a module prints while it is imported is no part of the document.
    with contextlib.redirect_stdout(sys.stderr):
        discover(REGISTRY, os.environ, log.warn)
    made = catalogue(REGISTRY)
    for each in made["broken"]:
        log.warn(f"merp_runner: {each.get('task') or each.get('module')}: {each['error']}")
    if name is None:
        print(text_of(made))
        return 1 if made["broken"] else 0
    image = (image or "").strip()
    if not image:
        log.warn("merp_runner: --image: is needed with --config-map: which image the catalogue is of, as jobs name it")
        return 2
    document = config_map(name, image, made)
    size = sum(len(text.encode()) for text in document["data"].values())
    if size > MAX_BYTES:
        log.warn(
            f"merp_runner: the catalogue has {size} bytes, and a ConfigMap holds {MAX_BYTES}: shorten descriptions"
        )
        return 1
    print(json.dumps(document, ensure_ascii=False, indent=2))
    return 1 if made["broken"] else 0


def _prepare_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # By line: SIGKILL loses nothing. UTF-8 whatever the image's locale. No print() fails over a character.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)


if __name__ == "__main__":
    sys.exit(main())

"""The command line: `python3 -m merp_cluster VERB`."""

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Callable

from merp_cluster import demo, images, packages
from merp_cluster.binaries import Binaries
from merp_cluster.cache import Cache, cache_root
from merp_cluster.cluster import Cluster
from merp_cluster.components import CONTROLLER_MANAGER_ARGS
from merp_cluster.errors import ClusterError
from merp_cluster.progress import say, step

EPILOG = f"""
environment:
  MERP_CLUSTER                  name of the cluster, merp by default; others run beside it
  MERP_CACHE                    folder for what is built once, ~/.cache/merp-scheduler by default
  {CONTROLLER_MANAGER_ARGS}  more flags for kube-controller-manager; without it, it runs with stock flags
"""


def main(argv: list[str] | None = None) -> int:
    """The exit status: 0; 1 for a failure that was told, or for `status` if not all is up; 2 for bad usage."""
    arguments = _parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except ClusterError as error:
        say(f"FAILED: {error}")
        return 1
    except KeyboardInterrupt:
        say("interrupted; the same command again goes on from here")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="merp_cluster", description=__doc__, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    verb("up", _up, "make and start whatever is missing, until the node is ready")
    down = verb("down", _down, "end everything and leave the host as it was")
    down.add_argument(
        "--keep-data", action="store_true", help="keep etcd's data, loaded images and volumes for the next up"
    )
    verb("status", _status, "every component with its pid and whether it is ready; exit status 1 if one is not")
    verb("images", _images, "build the product's images that are missing; prints the names of all")
    load = verb("load", _load, "bring images from buildah's storage into the cluster")
    load.add_argument("image", nargs="+")
    verb("kubeconfig", _kubeconfig, "print the path of the administrator's kubeconfig")
    verb("env", _env, "print shell exports: KUBECONFIG, and a PATH with kubectl and helm")
    execute = verb("exec", _exec, "run a command inside the cluster's network")
    execute.add_argument("command", nargs="+")
    verb("reclaim", _reclaim, "empty the volumes whose claim was deleted and offer them again")
    stop = verb("stop", _stop, "end one component")
    stop.add_argument("component")
    stop.add_argument("--kill", action="store_true", help="by SIGKILL, as a crash would")
    verb("packages", _packages, "install the Debian packages that the tests need and that are missing")
    helm = verb("helm", _helm, "run helm, built if it is not there yet")
    helm.add_argument("arguments", nargs=argparse.REMAINDER)
    verb("demo", _demo, "the chart, an example by kubectl and one by REST, and their records")
    start = verb("start", _start, "start one component and wait until it is ready")
    start.add_argument("component")
    return parser


def _up(_: argparse.Namespace) -> int:
    cluster = Cluster()
    with step(f"cluster {cluster.name} up"):
        cluster.up()
    say(f"export KUBECONFIG={cluster.kubeconfig}")
    return 0


def _down(arguments: argparse.Namespace) -> int:
    cluster = Cluster()
    with step(f"cluster {cluster.name} down"):
        cluster.down(keep_data=arguments.keep_data)
    return 0


def _status(_: argparse.Namespace) -> int:
    cluster = Cluster()
    states = cluster.states()
    for state in states:
        print(f"{state.name:<26}{state.pid or '-':>9}  {'ready' if state.ready else 'NOT READY'}")
    for name, value in cluster.versions().items():
        print(f"{name:<26}{value}")
    return 0 if all(state.ready for state in states) else 1


def _images(_: argparse.Namespace) -> int:
    for name in images.build_all().values():
        print(name)
    return 0


def _load(arguments: argparse.Namespace) -> int:
    Cluster().load(arguments.image)
    return 0


def _kubeconfig(_: argparse.Namespace) -> int:
    print(Cluster().kubeconfig)
    return 0


def _env(_: argparse.Namespace) -> int:
    for key, value in _environment(Cluster()).items():
        print(f"export {key}={shlex.quote(value)}")
    return 0


def _exec(arguments: argparse.Namespace) -> int:
    cluster = Cluster()
    environment = {**os.environ, **_environment(cluster)}
    return subprocess.run(cluster.inside(arguments.command), env=environment, check=False).returncode


def _reclaim(_: argparse.Namespace) -> int:
    for name in Cluster().reclaim_volumes():
        print(name)
    return 0


def _stop(arguments: argparse.Namespace) -> int:
    Cluster().stop(arguments.component, kill=arguments.kill)
    return 0


def _start(arguments: argparse.Namespace) -> int:
    Cluster().start(arguments.component)
    return 0


def _packages(_: argparse.Namespace) -> int:
    packages.ensure(Cache(cache_root()).log("packages"), packages.REQUIRED_BY_TESTS)
    return 0


def _helm(arguments: argparse.Namespace) -> int:
    program = Binaries(Cache(cache_root())).helm()
    return subprocess.run([program, *arguments.arguments], check=False).returncode


def _demo(_: argparse.Namespace) -> int:
    demo.run()
    return 0


def _environment(cluster: Cluster) -> dict[str, str]:
    return {"KUBECONFIG": str(cluster.kubeconfig), "PATH": f"{cluster.layout.bin}:{os.environ['PATH']}"}


if __name__ == "__main__":
    sys.exit(main())

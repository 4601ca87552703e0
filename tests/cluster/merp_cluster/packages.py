"""Debian packages that the cluster runs on, installed only where they are missing."""

import fcntl
from pathlib import Path

from merp_cluster.commands import logged, output, succeeds
from merp_cluster.errors import ClusterError
from merp_cluster.progress import step

# iptables and conntrack: kube-proxy calls them. buildah and debootstrap: the images; netavark is only recommended by
# buildah, which does not begin without it.
REQUIRED = (
    "buildah",
    "conntrack",
    "containerd",
    "containernetworking-plugins",
    "debootstrap",
    "iptables",
    "iproute2",
    "netavark",
    "openssl",
    "runc",
    "util-linux",
)
# The tests of the records start a server of their own.
REQUIRED_BY_TESTS = (*REQUIRED, "mariadb-server")
# A machine that has just started brings itself up to date, and a mirror may be away for a moment.
PATIENCE = ("-o", "DPkg::Lock::Timeout=600", "-o", "Acquire::Retries=5")
LISTS_LOCK = Path("/var/lib/apt/lists/lock")
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# merp-cluster: installing containerd must not start the host's own containerd.\nexit 101\n"


def missing(names: tuple[str, ...] = REQUIRED) -> list[str]:
    """Those of `names` that dpkg does not report as installed."""
    return [name for name in names if not _installed(name)]


def ensure(log: Path, names: tuple[str, ...] = REQUIRED) -> None:
    """Installs what is missing. ClusterError where this cannot work (not Debian, not root)."""
    if POLICY.is_file() and POLICY.read_text() == POLICY_TEXT:
        # An installation that was cut off left it; other packages' services must start again.
        POLICY.unlink()
    absent = missing(names)
    if not absent:
        return
    if not succeeds(["apt-get", "--version"]):
        raise ClusterError(f"needs Debian's packages {' '.join(absent)}, and there is no apt-get here to install them")
    with step(f"installing {' '.join(absent)}"):
        _install(absent, log)


def _installed(name: str) -> bool:
    # An unknown package makes dpkg-query fail, which says the same as "not installed" does.
    if not succeeds(["dpkg-query", "-W", name]):
        return False
    return output(["dpkg-query", "-W", "-f", "${db:Status-Status}", name]) == "installed"


def _install(names: list[str], log: Path) -> None:
    own_policy = not POLICY.exists()
    if own_policy:
        POLICY.write_text(POLICY_TEXT)
        POLICY.chmod(0o755)
    environment = {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", *PATIENCE, "-q"]
    try:
        # An image without lists may have no folder for them either.
        LISTS_LOCK.parent.mkdir(parents=True, exist_ok=True)
        with LISTS_LOCK.open("a") as lists:
            # For this one apt-get waits with no option.
            fcntl.lockf(lists, fcntl.LOCK_EX)
        logged([*apt, "update"], log, env=environment)
        logged([*apt, "install", "-y", "--no-install-recommends", *names], log, env=environment)
    finally:
        if own_policy:
            POLICY.unlink(missing_ok=True)

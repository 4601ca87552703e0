"""The embedded Kubernetes cluster that tests and the demo run on: real components, one node, one network namespace.

Standard library only, because it runs before any virtual environment exists
(`PYTHONPATH=tests/cluster python3 -m merp_cluster up`).
"""

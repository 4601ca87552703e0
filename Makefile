# The commands of the project. A fresh Debian machine with Python 3.11, Go and root is enough for all of them; what was
# set up once is kept outside the repository, by content.

MERP_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/merp-scheduler
# One version for everybody: the lock file is written in its format.
UV_VERSION := 0.13.9
UV := $(MERP_CACHE)/uv-$(UV_VERSION)/bin/uv
RUN := .venv/bin
CLUSTER_TOOL := PYTHONPATH=tests/cluster python3 -m merp_cluster
# The tests have a cluster of their own, so that they leave a demo alone.
TEST_CLUSTER := merp-test
# Suites that run beside the others have their own: one operator serves all namespaces, and the faults stop parts of theirs.
SIDE_CLUSTERS := merp-operator merp-time merp-faults
export MERP_CACHE

.DEFAULT_GOAL := help
.PHONY: help setup generate check unit test demo down faults bench

help:  ## what there is
	@grep -hE '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: .venv/.ready  ## the Python environment, from uv.lock

$(UV):
	@echo "[setup] uv $(UV_VERSION)"
	@python3 -m venv $(MERP_CACHE)/uv-$(UV_VERSION)
	@$(MERP_CACHE)/uv-$(UV_VERSION)/bin/pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.ready: $(UV) uv.lock pyproject.toml job_images/python/pyproject.toml job_images/tasks/pyproject.toml
	@echo "[setup] Python packages from uv.lock"
	@$(UV) sync --quiet --frozen --all-extras
	@touch $@

generate: setup  ## write the generated files anew
	@$(RUN)/python -m merp_crds
	@$(RUN)/python -m merp_api.description
	@$(UV) export --quiet --frozen --all-extras --no-dev --no-hashes --no-emit-project --no-header -o requirements.txt

check: setup  ## format, lint, types, import contracts, generated files, chart: seconds, no cluster
	@$(RUN)/ruff format --check --quiet .
	@$(RUN)/ruff check --quiet .
	@$(RUN)/mypy
	@$(RUN)/lint-imports --no-cache > .lint-imports.log || { cat .lint-imports.log; exit 1; }
	@rm -f .lint-imports.log
	@$(RUN)/python -m merp_crds --check
	@$(RUN)/python -m merp_api.description --check
	@$(UV) lock --check --quiet
	@$(UV) export --quiet --frozen --all-extras --no-dev --no-hashes --no-emit-project --no-header | diff -u requirements.txt - \
	  || { echo "requirements.txt is not what uv.lock says: run make generate"; exit 1; }
	@$(CLUSTER_TOOL) helm lint --strict --quiet helm/merp-scheduler

unit: setup  ## the tests that need no cluster, no database server and no process for each: under a minute
	@# One more than processors: some tests wait for a moment.
	@$(RUN)/pytest -q -n 3 --dist loadfile -m "not cluster and not mariadb and not processes"

test: setup  ## every test, the cluster's too
	@rm -f .coverage .coverage.*
	@# Here, because building takes minutes on a fresh machine, and a test has a time limit.
	@# And all clusters at once: while one is looked at for what it leaves behind, none may come or go.
	@.ci/prepare $(TEST_CLUSTER) $(SIDE_CLUSTERS)
	@.ci/suites
	@for name in $(SIDE_CLUSTERS); do MERP_CLUSTER=$$name $(CLUSTER_TOOL) down; done
	@echo "[test] a storm"
	@MERP_CLUSTER=$(TEST_CLUSTER) $(RUN)/coverage run -m pytest -v -m storm
	@$(RUN)/coverage combine --quiet
	@$(RUN)/coverage report

demo:  ## from nothing to a real run: cluster, images, chart, an example by kubectl and one by REST
	@$(CLUSTER_TOOL) demo

down:  ## end what demo and test started
	@$(CLUSTER_TOOL) down
	@for name in $(TEST_CLUSTER) $(SIDE_CLUSTERS); do MERP_CLUSTER=$$name $(CLUSTER_TOOL) down; done

faults: setup  ## outages and kills in their long form: about an hour
	@MERP_FAULTS=long MERP_CLUSTER=merp-faults $(RUN)/pytest -v -s --durations=0 -m faults
	@MERP_FAULTS=long MERP_CLUSTER=merp-faults $(RUN)/pytest -v -s --durations=0 \
	  $(foreach name,kills plain_kills pools record_kills,tests/operator/test_$(name)_on_cluster.py)

bench: setup  ## the benchmarks, side by side with their peers, as ratios
	@for bench in tests/bench/bench_*.py; do $(RUN)/python $$bench; done

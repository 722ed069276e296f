# Each target does its own set-up (tests/tools/setup) and calls one script; `make help` is the default.
HOSTS ?= 2
SETUP := tests/tools/setup

.DEFAULT_GOAL := help
.PHONY: help venv lab lab-down demo test test-fast test-unit test-host test-lab test-integration test-guests test-corpus test-molecule \
        test-matrix lint sanity bench docs clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 18

venv: ## .venv from the pinned requirements, and the link by which Ansible finds this checkout
	@$(SETUP)

lab: venv ## bring up HOSTS=2 lab hosts and write .lab/inventory.yml
	@tests/lab/lab up --hosts $(HOSTS)

lab-down: ## stop every lab host and what was started with them
	@tests/lab/lab down

demo: venv ## from nothing to running guests on one lab host, and once more with changed=0
	@tests/lab/demo

test: venv ## the whole suite: unit, host, lint, sanity, the lab itself, modules, libvirt's documents and roles on the lab (an hour)
	@tests/run

test-fast: venv ## what needs no lab: unit, host, lint, sanity (2 minutes)
	@tests/run --stages unit,host,lint,sanity

test-unit: venv ## the pure rooms
	@tests/run --stages unit

test-host: venv ## the libvirt room, against libvirt's own test driver
	@tests/run --stages host

test-lab: venv ## the lab itself: what it leaves behind, above all when it is killed
	@tests/run --stages lab

test-integration: venv ## the modules against the lab
	@tests/run --stages integration

test-guests: venv ## whole Debian guests on the lab, over ssh and their agents (10 minutes)
	@tests/run --stages guests

test-corpus: venv ## libvirt's own test documents, against the planner and all against the lab (20 minutes)
	@tests/run --stages whole-corpus

test-molecule: venv ## the roles against the lab
	@tests/run --stages molecule

test-matrix: venv ## sanity and unit tests on each ansible-core that is supported
	@tests/run --stages matrix

lint: venv ## ruff, mypy, yamllint, ansible-lint, changelog, documentation, packaging
	@tests/run --stages lint

sanity: venv ## ansible-test sanity
	@tests/run --stages sanity

bench: venv ## the times of design section 5, as ratios
	@benchmarks/run

docs: venv ## the module reference as HTML in .cache/docs
	@tests/run --stages docs

clean: lab-down ## remove what these targets made in the checkout
	@rm -rf .ansible .ansible-collections .cache .hypothesis .lab .mypy_cache .pytest_cache .ruff_cache .venv tests/output

# `make` prints this list. What runs is Ansible and pytest; nothing here but how to
# call them, and a .venv that is set up once.

ANSIBLE_PLAYBOOK = .venv/bin/ansible-playbook
DEV = .venv/.installed-dev
UP = .venv/.installed-up
LAB = tests/lab/inventory.yml
# Three on two cores: many of them wait for processes most of the time.
SIDE_BY_SIDE = -n 3 --no-loadscope-reorder
T ?=
ARGS ?=

# ansible-lint looks for its own helpers in PATH.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help up down lab lab-down test test-lab crash test-quick test-rotation schemathesis bench check lock clean

help: ## Print this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | \
	while IFS="$$(printf '\t')" read -r target text; do \
		printf '  make %-13s %s\n' "$$target" "$$text"; done

up: $(UP) ## Roll out playbooks/topology.yml on this machine, verify it, drill it
	@$(ANSIBLE_PLAYBOOK) playbooks/site.yml $(ARGS)

down: $(UP) ## Stop every process; keys and certificates stay
	@$(ANSIBLE_PLAYBOOK) playbooks/down.yml $(ARGS)

# The releases are made first: from inside the lab's network there is no way out. Again:
#   .venv/bin/python -m tests.lab run $(ANSIBLE_PLAYBOOK) -i $(LAB) playbooks/site.yml
lab: $(UP) ## Boot seven Debian hosts (root), roll out over SSH, verify, drill
	@started=$$(date +%s) && .venv/bin/python -m tests.lab up && \
	$(ANSIBLE_PLAYBOOK) -i $(LAB) playbooks/release.yml && \
	.venv/bin/python -m tests.lab run $(ANSIBLE_PLAYBOOK) -i $(LAB) playbooks/site.yml \
		$(ARGS) && \
	echo "The lab is up after $$(($$(date +%s) - started)) s; make lab-down removes it."

lab-down: $(UP) ## Remove the hosts and every trace of them
	@.venv/bin/python -m tests.lab down
	@rm -rf certs/lab

test: $(DEV) ## Run all tests, or some: make test T=tests/pki
	@.venv/bin/python -m pytest $(or $(T),-m "not rotation and not crash and not long" $(SIDE_BY_SIDE))

test-rotation: $(DEV) ## Replace every key under load and count failures (root; minutes)
	@.venv/bin/python -m pytest -s -m rotation $(T)

test-lab: $(DEV) ## Roll out to seven Debian hosts and break them (root; minutes)
	@.venv/bin/python -m pytest -m "lab and rollout and not rotation" $(T)

crash: $(DEV) ## Kill a CA at random while it issues N=10000, and wherever it can be
	@CERTBOUND_ISSUES=$(or $(N),10000) .venv/bin/python -m pytest -s \
		-m "crash or endurance" tests/pki/flows

# What others judge is not even read: that alone takes seconds.
test-quick: $(DEV) ## Run the tests that take milliseconds (under a minute)
	@.venv/bin/python -m pytest -m "not rollout and not lab and not judges and not crash \
		and not started" $(or $(T),-n 2 --ignore tests/judges --ignore tests/live)

schemathesis: $(DEV) ## Ask the live service for what it describes, for five minutes
	@CERTBOUND_SCHEMATHESIS_SECONDS=300 .venv/bin/python -m pytest -s \
		tests/judges/test_openapi.py

bench: $(DEV) ## Measure against peers and limits: a table, and certs/bench.json
	@.venv/bin/python -m bench --json certs/bench.json $(ARGS)

check: $(DEV) ## Run the linters and the type checker
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/ansible-lint --strict playbooks

lock: ## Resolve the dependencies anew (needs uv)
	@.ci/lock

clean: ## Remove .venv and caches; what was rolled out stays
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis .ansible *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(UP): requirements.lock pyproject.toml .ci/setup
	@.ci/setup requirements.lock $@

$(DEV): requirements-dev.lock pyproject.toml .ci/setup
	@.ci/setup requirements-dev.lock $@

# `make help` lists the targets. Needs git, make and Python 3.11 or newer with venv.
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(if $(shell command -v $(p) 2>/dev/null),$(p))))
VENV := .venv
BIN := $(VENV)/bin
GPU ?=
SECONDS ?= 600
# Of the tests: one more than two cores, for many tests wait longer than they work.
PROCESSES ?= 3
PYTEST := $(BIN)/python -m pytest --numprocesses=$(PROCESSES) --dist=loadfile --no-loadscope-reorder
BUILDER ?= $(firstword $(foreach b,docker podman buildah,$(if $(shell command -v $(b) 2>/dev/null),$(b))))

.PHONY: bench demo fuzz kills prove test lint lock image image-test clean help
help:
	@echo "make demo       run a first experiment on this machine, and show its table"
	@echo "make test       ruff, mypy --strict and pytest (GPU=1: with torch, for the steps to the GPU)"
	@echo "make prove      what takes longer: the tests marked prove, mutated experiments, a small fleet"
	@echo "make lint       ruff and mypy only"
	@echo "make lock       pin the dependencies anew in constraints.txt"
	@echo "make image      build the container image hps (BUILDER=docker, podman or buildah; BASE=…; TOOLS=…)"
	@echo "make image-test build the image on a small base and test it (root, buildah, debootstrap)"
	@echo "make bench      the short forms of the benchmarks in bench/ (most need root and /dev/net/tun)"
	@echo "make kills      kill a run 200 times (KILLS=…), in each phase: nothing may be lost or left"
	@echo "make fuzz       mutated experiments for ten minutes (SECONDS=…): none may crash hps, or hang"
	@echo "make clean      remove what the targets above made"

demo: $(VENV)/demo.stamp
	$(BIN)/hps run experiments/quickstart.yaml

test: lint
ifeq ($(GPU),)
	@echo "The steps to the GPU are left out, for torch is gigabytes; to test them: make test GPU=1"
endif
	$(PYTEST) -m "not prove" $(PYTEST_ARGS)

# 77: no link can be made here, as the fleet has said.
prove: $(VENV)/test$(if $(GPU),-gpu).stamp
	$(PYTEST) -m prove $(PYTEST_ARGS)
	$(BIN)/python -m tests.fuzz --same --workers 2 --inputs 100000 --seconds 300
	timeout 900 $(BIN)/python -m bench.fleet --short || [ $$? = 77 ]

lint: $(VENV)/test$(if $(GPU),-gpu).stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lock: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet "pip-tools>=7.4"
	$(BIN)/pip-compile --quiet --strip-extras --extra dev --extra report --extra speedtest --no-header --no-annotate --no-emit-index-url --no-emit-trusted-host --no-emit-find-links --unsafe-package torch --output-file constraints.txt pyproject.toml
	printf 'nvidia-ml-py==13.615.71\ntorch==2.13.0\n' >> constraints.txt

kills: $(VENV)/test.stamp
	HPS_KILLS=$(or $(KILLS),200) $(BIN)/python -m pytest -s tests/kills/test_kills.py

# 77: this machine can't do it, and the program has said why.
bench: $(VENV)/test.stamp
	@for program in "link --check --rtt 80ms --up 20Mbps --down 50Mbps" "truth --short" "settings --short" \
	  "tools --short" "overhead --sizes 1MiB 10MiB --pairs 5" "scale --most 10000" "soak --short" "fleet --short"; do \
	  echo "== python -m bench.$$program"; \
	  $(BIN)/python -m bench.$$program || [ $$? = 77 ] || exit 1; \
	done

fuzz: $(VENV)/test.stamp
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)
	$(BIN)/python -m pytest --hypothesis-profile=drawn tests/fuzz/test_strategies.py

image:
	$(BUILDER) build --tag hps $(if $(BASE),--build-arg BASE=$(BASE)) \
	  $(if $(TOOLS),--build-arg TOOLS="$(TOOLS)") \
	  --build-arg VERSION=$$(sed -n 's/^__version__ = "\(.*\)"/\1/p' hps/__init__.py) \
	  --build-arg REVISION=$$(git describe --always --exclude '*' --abbrev=40 --dirty) .

image-test: $(VENV)/test.stamp
	@PYTHON=$(BIN)/python tests/container/run $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build dist

$(VENV)/demo.stamp: pyproject.toml constraints.txt
	$(if $(PYTHON),,$(error Python 3.11 or newer is needed: install it, or name it with PYTHON=…))
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; name it with PYTHON=…")'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Setting up $(VENV) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	@touch $@

$(VENV)/test.stamp: $(VENV)/demo.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,report]'
	@touch $@

$(VENV)/test-gpu.stamp: $(VENV)/test.stamp
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev,report,gpu]'
	@touch $@

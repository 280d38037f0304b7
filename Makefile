# Every target prepares .venv first; `make ablation` and `make test` are all a newcomer needs.
PYTHON ?= python3
PY ?= $(PYTHON)
BIN := .venv/bin
export PRISMLAB_CACHE ?= $(CURDIR)/runs/cache

.PHONY: ablation smoke reproduce test test-long test-slow test-tpu test-py test-newest lint lock graph bench \
	bench-cores bench-encoder bench-data bench-step bench-checkpoint bench-eval bench-rerun bench-co-train clean

# Compiled Python files are kept, also where the environment says not to: each process starts faster.
export PYTHONDONTWRITEBYTECODE =

ablation: .venv/installed  ## the main job: rendered videos -> both stages -> table and report, one worker a core
	XLA_FLAGS="--xla_cpu_multi_thread_eigen=false" \
		$(BIN)/prismlab ablate quickstart.gin --workdir runs/quickstart --launcher local --jobs 2

smoke: .venv/installed  ## both stages in seconds, numbers without meaning
	$(BIN)/prismlab ablate smoke.gin --workdir runs/smoke

reproduce: .venv/installed  ## the six rows of Figure 4 on the rendered world, several seeds, one worker a core
	XLA_FLAGS="--xla_cpu_multi_thread_eigen=false" \
		$(BIN)/prismlab ablate reproduce_small.gin --workdir runs/reproduce --launcher local --jobs 2

test: .venv/installed  ## the suite: properties, contracts, and whole runs
	$(BIN)/python -m pytest -n 2

test-long: .venv/installed  ## checks that take seconds each: trained heads, whole commands; CI runs them too
	$(BIN)/python -m pytest -n 2 -m "long and not slow"

test-slow: .venv/installed  ## checks that take minutes: several processes, kills, long trainings
	$(BIN)/python -m pytest -n 2 -m "slow and not tpu"

test-tpu: .venv/installed  ## every full-scale recipe compiles for TPU slices (needs no TPU)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check libtpu
	JAX_PLATFORMS=cpu $(BIN)/python -m pytest -m tpu

test-py: .venv-$(notdir $(PY))/installed  ## the suite with another interpreter, from the lock: make test-py PY=python3.13
	.venv-$(notdir $(PY))/bin/python -m pytest -n 2 -m "not slow"

test-newest:  ## the suite with the newest release of each dependency that pyproject.toml allows
	rm -rf .venv-newest
	$(PY) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	.venv-newest/bin/python -m pip list --disable-pip-version-check
	.venv-newest/bin/python -m pytest -n 2 -m "not slow"

lint: .venv/installed  ## style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

graph: .venv/installed  ## the import graph between rooms, as in WORKSPACE.md
	@$(BIN)/python -m prismlab.experiments.bench.import_graph

bench: .venv/installed  ## speed and memory, as ratios in one run
	$(BIN)/python -m prismlab.experiments.bench.step_cost

bench-cores: .venv/installed  ## steps of processes that share all cores, and of processes on their own
	$(BIN)/python -m prismlab.experiments.bench.shared_cores

bench-encoder: .venv/installed  ## ours against transformers (PEER_PYTHON: an interpreter with torch and transformers)
	$(BIN)/python -m prismlab.experiments.bench.encoder.encoder_speed --peer-python $(or $(PEER_PYTHON),$(BIN)/python)

bench-data: .venv/installed  ## the loader against the bare decoder, as ratios in one run
	$(BIN)/python -m prismlab.experiments.bench.loading.loader_speed

bench-step: .venv/installed  ## stage-2 student cost against the share of visible tokens, one run
	$(BIN)/python -m prismlab.experiments.bench.view_cost

bench-checkpoint: .venv/installed  ## how long a save stops the loop, and memory over 30 saves
	$(BIN)/python -m prismlab.experiments.bench.ablation.checkpoint_cost videoprism_base.gin --saves 5
	$(BIN)/python -m prismlab.experiments.bench.ablation.checkpoint_cost reproduce_small.gin --saves 30

bench-rerun: .venv/installed  ## a finished ablation, run again: nothing to do in under 3 seconds on a quiet core
	$(BIN)/python -m prismlab.experiments.bench.ablation.rerun_time

bench-eval: .venv/installed  ## a second task on stored features, and several heads against one, as ratios in one run
	$(BIN)/python -m prismlab.experiments.bench.ablation.evaluation_cost

bench-co-train: .venv/installed  ## six stage-2 rows trained together against six single runs, with equal digests, one run
	$(BIN)/python -m prismlab.experiments.bench.ablation.co_training_cost

lock: .venv/installed  ## write requirements.lock again (needs uv: .venv/bin/pip install uv)
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --extra test --generate-hashes \
		--no-emit-index-url --no-header --output-file requirements.lock pyproject.toml

clean:  ## remove results and the environment
	rm -rf runs .venv .venv-*

.venv/installed: requirements.lock pyproject.toml
	$(call install,.venv,$(PYTHON))

.venv-%/installed: requirements.lock pyproject.toml
	$(call install,.venv-$*,$(PY))

# What requirements.lock names, and this package from the checkout: $(call install,FOLDER,INTERPRETER).
define install
	test -x $(1)/bin/python || $(2) -m venv $(1)
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(1)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $(1)/installed
endef

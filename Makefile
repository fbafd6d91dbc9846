# `make demo` and `make test` do all the set-up; both can be run again at any time.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# On Linux without a GPU, away from a machine that holds a CPU build of torch:
#   make demo PIP_FLAGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_FLAGS ?=
DATA ?= support-intents
SERVE ?=
TESTS ?= tests

.PHONY: setup demo test check docs proto lock clean

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || python3 -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
	touch $@

demo: setup
	$(BIN)/python examples/demo.py --data $(DATA) $(if $(SERVE),--serve,)

check: setup
	$(BIN)/ruff check src tests examples bench docs
	$(BIN)/ruff format --check src tests examples bench docs
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check
	$(BIN)/python -m pytest -n 2 --dist worksteal $(TESTS)

docs: setup
	$(BIN)/python -m docs.generate

# Write the descriptor that the gRPC server reads.
proto: setup
	$(BIN)/python -m grpc_tools.protoc -Isrc/bessemer/http/grpc \
		--descriptor_set_out=src/bessemer/http/grpc/inference.binpb inference.proto

# Resolve the newest versions that pyproject.toml allows, torch excepted, and pin them.
lock:
	$(PYTHON) -m venv .lock-venv
	.lock-venv/bin/pip install --quiet $(PIP_FLAGS) torch==2.13.0 -e '.[dev]'
	.lock-venv/bin/pip freeze --exclude-editable | sed 's/+cpu$$//' > requirements.lock
	rm -rf .lock-venv

clean:
	rm -rf $(VENV) .bessemer demo-home

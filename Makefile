# make env    a virtual environment in .venv with everything; VENV and PYTHON choose others
# make demo   embedded data set -> pretrained backbone -> registry -> pose networks -> report
# make test   the fast tests: CPU, offline, no licensed file
# make lint   ruff;   make fuzz   damaged files and kills;   make bench   speed and memory as ratios
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: env demo test lint fuzz bench clean-env
env: $(STAMP)

$(STAMP): setup.cfg setup.py tools/install.sh
	PYTHON="$(PYTHON)" VENV="$(VENV)" bash tools/install.sh
	touch $(STAMP)

demo: env
	$(BIN)/python tools/demo.py

test: env
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile --max-worker-restart=0

lint: env
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

fuzz: env
	$(BIN)/python -m tests.fuzz --hours 1
	$(BIN)/python -m tests.fuzz.kills

bench: env
	$(BIN)/python tools/benchmark.py all

clean-env:
	rm -rf $(VENV)

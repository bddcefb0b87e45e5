# make env    a virtual environment in .venv with everything; VENV and PYTHON choose others
# make demo   embedded dataset -> pretrained backbone -> registry -> pose networks -> report
# make study  the larger transfer study on the embedded dataset, from ImageNet weights
# make test   the fast tests: CPU, offline, no licensed file
# make lint   ruff;   make fuzz   damaged files and kills;   make bench   speed and memory as ratios
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
DEMO_STAMP := $(VENV)/.demo
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: env demo study test lint fuzz bench clean-env
env: $(STAMP)

$(STAMP): setup.cfg setup.py tools/install.sh
	PYTHON="$(PYTHON)" VENV="$(VENV)" bash tools/install.sh
	touch $(STAMP) $(DEMO_STAMP)

$(DEMO_STAMP): setup.cfg setup.py tools/install.sh
	PYTHON="$(PYTHON)" VENV="$(VENV)" bash tools/install.sh demo
	touch $(DEMO_STAMP)

demo: $(DEMO_STAMP)
	$(BIN)/python tools/demo.py

study: env
	$(BIN)/python tools/study.py

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

# Every target creates .venv by itself on a fresh machine.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo ui test test-long test-gpu test-wheel test-lowest consumers airflow lint format install wheel docs ui-assets assets clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch -e '.[dev]'
	rm -rf lazaretto.egg-info  # with it, whoever runs Python here would find the package twice
	touch $(STAMP)

install: $(STAMP)

# Other people's JavaScript of the review page: from npm, by the hashes in package-lock.json.
UI := plugins/static/bundled/LICENSES.txt
WEB := plugins/web
ui-assets: $(UI)
$(UI): $(WEB)/package.json $(WEB)/package-lock.json $(WEB)/build.mjs $(wildcard $(WEB)/src/*.js)
	cd $(WEB) && npm ci --ignore-scripts --silent && node build.mjs

# The same where npm can do it; without them the page has no map and no histogram, and says so.
assets:
	@{ command -v npm && $(MAKE) --no-print-directory ui-assets; } >/dev/null || \
	    echo "npm is missing or failed: the review page is without its map and its histogram"

demo: $(STAMP)
	$(BIN)/lazaretto demo

# Airflow with the demo's week, to review in a browser; UI_PORT and UI_DATABASE are in its docstring.
ui: $(STAMP) assets
	@$(BIN)/python tests/deployment/ui.py

# Three workers on two cores: tests often wait, for a browser or for Airflow. Each has one thread,
# since more would wait for one another; those of tests that ask for two do not spin while they wait.
# Hundreds of processes are started: what they import is compiled once, also where the environment
# asks for no such files.
SUITE := PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder
test: $(STAMP) assets
	$(SUITE)

# The same with all examples, kills and bombs, and all on both databases: takes much longer.
test-long: $(STAMP) assets
	LAZARETTO_LONG=1 $(SUITE)

# What needs a CUDA device; without one all of it is skipped.
test-gpu: $(STAMP)
	OMP_NUM_THREADS=2 $(BIN)/pytest -m gpu tests/gpu tests/lazaretto/detect/test_nearest_backends.py \
	    tests/lazaretto/test_activations_shapes.py

# Installs the built wheel into environments of its own, with each extra; takes minutes.
test-wheel: $(STAMP) assets
	LAZARETTO_TEST_WHEEL=1 $(BIN)/pytest tests/wheel

# The lowest versions that pyproject.toml declares, in an environment of their own.
LOWEST := build/lowest
test-lowest: $(STAMP)
	$(BIN)/python tests/wheel/lowest.py $(LOWEST)

# Feast, Data.Rentgen and dbt themselves, in environments of their own: what they make of our events,
# and whether theirs still look as the tests have them. Minutes, and Python 3.12 for Data.Rentgen.
CONSUMERS := build/consumers
consumers: $(STAMP)
	$(BIN)/python tests/consumers/build.py $(CONSUMERS)
	LAZARETTO_CONSUMERS=$(CONSUMERS) OMP_NUM_THREADS=1 $(BIN)/pytest tests/consumers

# A whole deployment on this machine, without containers: three to six minutes on two cores.
airflow: $(STAMP) assets
	$(BIN)/python tests/deployment

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	PYTHONPATH=typing $(BIN)/lint-imports --no-cache

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# dist/ gets the wheel and the sdist, as an index would take them.
wheel: $(STAMP) assets
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m twine check --strict dist/*

# The pages as a site in build/site, with no broken link.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check mkdocs-material
	$(BIN)/mkdocs build --strict

clean:
	rm -rf build dist plugins/static/bundled $(WEB)/node_modules $(VENV) .mypy_cache .ruff_cache .pytest_cache

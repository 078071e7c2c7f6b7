# Each target works from a fresh clone: what it needs is installed first. The work itself is done by
# small Python programs in tools/ and benchmarks/, so that all of it also runs without make (see README.md).

PYTHON ?= python3
UV := $(shell command -v uv >/dev/null 2>&1 && echo uv || echo .uv/bin/uv)
RUN := .venv/bin/python
export UV_PYTHON_DOWNLOADS := never
# A thread that has nothing to do sleeps. By default it spins for a while, and where two trainings share the
# cores each then takes several times as long.
export OMP_WAIT_POLICY := PASSIVE
NEEDS_PYTHON = $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "The course needs Python 3.11 or newer. If you have one, name it: make course PYTHON=python3.12"; exit 1; }

STYLE := $(RUN) -m ruff check && $(RUN) -m ruff format --check && $(RUN) -m mypy
NBVAL := $(RUN) -m pytest --nbval --nbval-current-env --nbval-cell-timeout 600 \
	--nbval-sanitize-with tests/nbval_sanitize.cfg -p no:cacheprovider
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
SOLUTIONS := $(sort $(wildcard notebooks/solutions/*.ipynb))
# A notebook must not rely on another one having run before it: the tests take them from last to first.
REVERSED := $(shell ls -r notebooks/*.ipynb 2>/dev/null)
ALL_FILES := { git status --porcelain -uall; git ls-files --others --ignored --exclude-standard notebooks data; }
# Files go to as many lanes as there are cores (four at most), with one thread each: starting kernels and
# a browser leaves the other cores idle, and two trainings of two threads would wait for each other.
LANES := -n $(shell $(PYTHON) -c 'import os; print(min(4, os.cpu_count() or 1))') --dist loadfile \
	--no-loadscope-reorder
ONE_THREAD := OMP_NUM_THREADS=1
# Another machine: a processor without the newer vector instructions.
OLD_CHIP := ONEDNN_MAX_CPU_ISA=SSE41

.PHONY: help course lab site slides check test test-elsewhere test-server faults notebooks notebooks-twice bench speed weights bands lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

course: .venv/installed ## install, check the environment, run every notebook, print the results
	@$(RUN) tools/check_environment.py
	@$(RUN) tools/run_notebooks.py
	@$(RUN) tools/build_site.py

lab: .venv/installed ## open the notebooks in JupyterLab
	$(RUN) -m jupyter lab notebooks

site: .venv/installed ## build the course's site from the stored outputs, to be read without a network
	@$(RUN) tools/build_site.py

slides: .venv/installed ## make slides from the notebooks as they are stored, to be shown without a network
	@$(RUN) tools/make_slides.py

check: .venv/installed ## run the fast part in three minutes: style, types, tests without notebooks and browser
	$(STYLE)
	$(ONE_THREAD) $(RUN) -m pytest $(LANES) tests --ignore tests/site --ignore tests/test_older_processor.py

test: .venv/installed ## run all that CI runs: style, types, tests, and every notebook's printed results
	@$(RUN) tools/build_site.py & $(STYLE) && wait $$!
	@mkdir -p build && $(ALL_FILES) > build/files-before
	$(ONE_THREAD) $(NBVAL) $(LANES) --durations 25 $(REVERSED) $(SOLUTIONS) tests/test_cells_twice.py tests
	@$(ALL_FILES) | diff build/files-before - || { echo "A notebook left these files behind."; exit 1; }

test-elsewhere: .venv/installed ## re-check every notebook as other machines would run it (four times as long)
	$(NBVAL) $(REVERSED) $(SOLUTIONS)
	$(ONE_THREAD) $(NBVAL) $(LANES) $(NOTEBOOKS) $(SOLUTIONS)
	$(OLD_CHIP) $(NBVAL) $(NOTEBOOKS) $(SOLUTIONS)
	$(ONE_THREAD) $(OLD_CHIP) $(NBVAL) $(LANES) $(NOTEBOOKS) $(SOLUTIONS)

test-server: .venv/installed ## run the tests of index and classifier on a Qdrant server (QDRANT_URL=http://localhost:6333)
	@[ "$(QDRANT_URL)" ] || { echo "Say which server: make test-server QDRANT_URL=http://localhost:6333"; exit 1; }
	$(ONE_THREAD) $(RUN) -m pytest -q --qdrant-url "$(QDRANT_URL)" tests/test_index.py tests/test_classify.py \
		tests/test_reindex.py tests/test_upload.py tests/test_export.py tests/test_deploy.py

faults: .venv/installed ## damage files, kill programs and fill disks 100,000 times; rewrite the table of docs/trust.md
	$(ONE_THREAD) $(RUN) tests/faults/run.py

notebooks: .venv/installed ## run the notebooks and the solutions again and keep their new outputs
	@$(RUN) tools/exercises.py
	@$(RUN) tools/run_notebooks.py --inplace
	@$(RUN) tools/run_notebooks.py --inplace --solutions

notebooks-twice: .venv/installed ## run every cell twice in a row, at full length: what it says the second time is true
	$(ONE_THREAD) $(RUN) -m pytest -q -p no:cacheprovider --full-length tests/test_cells_twice.py

bench: .venv/installed ## measure all methods at every label budget, and rewrite the tables
	$(RUN) -m benchmarks.label_efficiency
	$(RUN) -m benchmarks.rivals
	$(RUN) -m benchmarks.studies.robustness
	$(RUN) -m benchmarks.elsewhere
	$(RUN) -m benchmarks.photographs
	$(RUN) -m benchmarks.studies.photographs_labels
	$(RUN) -m benchmarks.studies.photographs_folds
	$(RUN) -m benchmarks.folders
	$(RUN) -m benchmarks.studies.drawings
	$(RUN) -m benchmarks.studies.unknown
	$(RUN) -m benchmarks.studies.tried
	$(RUN) -m benchmarks.studies.tried --pick
	$(RUN) -m benchmarks.label_errors
	$(RUN) -m benchmarks.active_learning
	$(RUN) -m benchmarks.poisoning
	$(RUN) -m benchmarks.studies.spreading
	$(RUN) -m benchmarks.new_classes
	$(RUN) -m benchmarks.studies.objections
	$(RUN) -m benchmarks.studies.strangers
	$(RUN) -m benchmarks.studies.controls
	$(RUN) -m benchmarks.pictures
	$(RUN) -m benchmarks.figures

speed: .venv/installed ## measure steps, larger pools and the time to each accuracy (on a quiet machine)
	$(RUN) -m benchmarks.speed
	$(RUN) -m benchmarks.scale

weights: .venv/installed ## train the published encoder again
	$(RUN) -m benchmarks.publish_encoder

bands: .venv/installed ## measure how far the notebooks' figures vary over seeds and threads
	$(RUN) -m benchmarks.bands

lock: | $(filter .uv/bin/uv,$(UV)) ## bring requirements.lock in step with pyproject.toml (UPGRADE=--upgrade: newest versions)
	$(UV) pip compile --universal --generate-hashes --python-version 3.11 --group dev --all-extras \
		--custom-compile-command "make lock" --quiet $(UPGRADE) pyproject.toml -o requirements.lock

clean: ## remove all that was installed or built (downloaded images in data/ stay)
	rm -rf .venv .uv build .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -prune -exec rm -rf {} +

# The stamp is newer than both files when all that they name is installed: then nothing is done.
.venv/installed: requirements.lock pyproject.toml | $(filter .uv/bin/uv,$(UV))
	@$(NEEDS_PYTHON)
	@[ -x $(RUN) ] || $(UV) venv --quiet --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" .venv
	@$(UV) pip sync --python $(RUN) --compile-bytecode --require-hashes requirements.lock
	@$(UV) pip install --python $(RUN) --no-deps --no-build-isolation --editable .
	@touch $@

# The tool that verifies all others is verified itself: the lock holds its version and its hashes.
.uv/bin/uv:
	@$(NEEDS_PYTHON)
	@echo "Installing uv, which then installs the rest ..."
	@$(PYTHON) -m venv .uv
	@sed -n '/^uv==/,/# via/p' requirements.lock > .uv/requirements.txt
	@.uv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .uv/requirements.txt

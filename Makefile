# `make help` lists what can be done here. Everything is installed into .venv and nothing outside this folder changes.

PYTHON ?= python3
# nproc takes OMP_NUM_THREADS for the number of cores.
CORES ?= $(shell env -u OMP_NUM_THREADS nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
PIP_ARGS ?=
PYTEST_ARGS ?=

VENV := .venv
INSTALLED := $(VENV)/.installed
# The tools, and whatever they start, come from .venv.
WITH_VENV := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"
# Without the theme's advertisement of its successor.
BUILD_SITE := NO_MKDOCS_2_WARNING=1 mkdocs build --strict
WHICH_PYTHON := import sys; print(sys.version, sys.base_prefix)

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs bench format clean

help: ## list the targets
	@echo "usage: make TARGET [VARIABLE=value]"
	@echo
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  %-8s %s\n", $$1, $$2}' Makefile
	@echo
	@echo "The first target that needs them installs all dependencies into $(VENV) (several minutes)."
	@echo
	@echo "  CORES        cores for demo and test ($(CORES))"
	@echo "  PYTHON       interpreter for $(VENV), 3.11 or newer ($(PYTHON))"
	@echo "  PYTEST_ARGS  more arguments for pytest, such as PYTEST_ARGS='-k critic'"
	@echo "  PIP_ARGS     more arguments for pip. On Linux pip installs PyTorch with CUDA, some gigabytes."
	@echo "               Without a GPU a small one will do:"
	@echo "               make demo PIP_ARGS='--extra-index-url https://download.pytorch.org/whl/cpu'"
	@echo
	@echo "The whole paper, on two GPUs:"
	@echo "  . $(VENV)/bin/activate && snakemake --cores $(CORES) --resources gpu=2"

demo: $(INSTALLED) ## regenerate a small study on handwritten digits: tables, figures, report
	$(WITH_VENV) snakemake --cores $(CORES) --configfile workflow/studies/demo.yaml
	@echo
	@echo "Done. Everything is in results/demo:"
	@echo "  report   results/demo/report.html"
	@echo "  tables   results/demo/tables/"
	@echo "  figures  results/demo/figures/"
	@if [ -f results/demo/paper.pdf ]; then echo "  paper    results/demo/paper.pdf"; \
	  else echo "  paper    results/demo/paper.tex (no paper.pdf: see results/demo/logs/paper.log)"; fi

# One thread for each test process: the processes share the cores already.
test: $(INSTALLED) ## run all tests
	$(WITH_VENV) OMP_NUM_THREADS=1 pytest -n $(CORES) $(PYTEST_ARGS)

# Snakemake's linter fails on whatever it complains about.
lint: $(INSTALLED) ## check style, formatting, types, workflow, known advisories and documents
	$(WITH_VENV) ruff check .
	$(WITH_VENV) ruff format --check .
	$(WITH_VENV) mypy
	$(WITH_VENV) snakefmt --check Snakefile workflow
	$(WITH_VENV) snakemake --lint
	$(WITH_VENV) python .ci/audit
	$(WITH_VENV) $(BUILD_SITE)

docs: $(INSTALLED) ## write the generated parts of docs/ anew, and build the site into build/site
	$(WITH_VENV) python -m docs.tools
	$(WITH_VENV) $(BUILD_SITE)
	@echo
	@echo "Done. Open build/site/index.html"

# Half an hour during which the machine should do nothing else.
bench: $(INSTALLED) ## measure what docs/performance.md says, and write it there
	$(WITH_VENV) python -m benchmarks

format: $(INSTALLED) ## rewrite Python and Snakemake files in the project's style
	$(WITH_VENV) ruff check --fix .
	$(WITH_VENV) ruff format .
	$(WITH_VENV) snakefmt Snakefile workflow

# .snakemake stays: it holds the records by which Snakemake knows that results are up to date.
clean: ## remove .venv and caches; data and results stay
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find aikd tests workflow -type d -name __pycache__ -prune -exec rm -rf {} +

# Written last, so that an interrupted installation does not pass for a finished one. A .venv that another
# interpreter made, or that is broken, starts anew.
$(INSTALLED): pyproject.toml
	@command -v "$(PYTHON)" >/dev/null || { \
	  echo "make: '$(PYTHON)' was not found. Install Python 3.11 or newer, or name it: make PYTHON=/path/to/python3" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "make: '$(PYTHON)' is $$("$(PYTHON)" --version 2>&1), needed is 3.11 or newer. Name another: make PYTHON=python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "make: '$(PYTHON)' cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	@if [ "$$($(VENV)/bin/python -m pip --version >/dev/null 2>&1 && $(VENV)/bin/python -c '$(WHICH_PYTHON)')" \
	  != "$$("$(PYTHON)" -c '$(WHICH_PYTHON)')" ]; then \
	  echo "Making $(VENV) ..."; "$(PYTHON)" -m venv --clear $(VENV); fi
	$(VENV)/bin/python -m pip install --disable-pip-version-check $(PIP_ARGS) -e '.[dev,onnx]'
	@touch $@

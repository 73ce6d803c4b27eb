# Everything runs inside .venv, which the first target that needs it makes.
# Shown by `make`: the text after `##`.

PYTHON := .venv/bin/python
PIP_INSTALL := -m pip install -qq --disable-pip-version-check

# Sets $python to the first interpreter of the versions in $(1): on the PATH,
# then pyenv's, then uv's. Each is tried, not just looked for: a pyenv shim on
# the PATH may refuse to run, and Debian's Python may lack ensurepip.
define find_python
for version in $(1); do \
  for python in "python$$version" \
      "$${PYENV_ROOT:-$$HOME/.pyenv}/versions/$$version".*/bin/python \
      "$$(uv python find "$$version" 2>/dev/null)" python3; do \
    "$$python" -c "import ensurepip, sys, venv; \
      sys.exit('%d.%d' % sys.version_info[:2] != '$$version')" \
      2>/dev/null && break 2; \
    python=; \
  done; \
done; \
test -n "$$python" || { echo "error: no usable Python $(strip $(2)) on the\
  PATH, in pyenv or in uv. Install one: pyenv install $(firstword $(1)), or\
  uv python install $(firstword $(1)), or your system's package with its\
  venv module." >&2; exit 1; }
endef

.PHONY: help
help: ## show this list
	@sed -nE 's/^([a-z]+):.*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) \
	  | expand -t 14

.PHONY: env
env: .venv/.complete ## make the environment .venv (1.7 GB)

.venv/.complete: pyproject.toml requirements.txt requirements-dev.txt
	@$(PYTHON) -c "import pip, sys; \
	    sys.exit(not (3, 12) <= sys.version_info < (3, 14))" 2>/dev/null || { \
	  $(call find_python,3.12 3.13,3.12 or 3.13); \
	  echo "== environment: .venv with $$("$$python" --version)"; \
	  "$$python" -m venv --clear .venv; }
	@echo "== installing about 400 MB into .venv, one or two minutes"
	@$(PYTHON) $(PIP_INSTALL) -r requirements-dev.txt
	@# compat: the checkout itself is on the path, so that commands find
	@# experiments/ and configs/, which are not installed elsewhere.
	@$(PYTHON) $(PIP_INSTALL) --no-deps -e . --config-settings editable_mode=compat
	@touch $@

# Single quotes: a glob in LOGS is for the command to expand, not the shell.
.PHONY: demo
demo: .venv/.complete ## from logs to a report; LOGS= LABELS= OUT= are optional
	@$(PYTHON) experiments/demo.py $(if $(LOGS),--logs '$(LOGS)') \
	  $(if $(LABELS),--labels '$(LABELS)') $(if $(OUT),--out '$(OUT)')

.PHONY: check
check: .venv/.complete ## lint, types and the fast tests
	@echo "== ruff"
	@$(PYTHON) -m ruff check .
	@echo "== mypy"
	@$(PYTHON) -m mypy
	@echo "== pytest, fast tests"
	@$(PYTHON) -m pytest -q -rs -n 2 -m "not slow" --durations=10

.PHONY: test
test: check ## everything: check, then the slow tests
	@echo "== pytest, slow tests"
	@$(PYTHON) -m pytest -q -rs -n 2 --dist loadfile -m slow --durations=10

# FUZZ= says how many inputs each property gets.
.PHONY: fuzz
fuzz: .venv/.complete ## random dirt and damage for hours; FUZZ= optional
	@BEHAVIOR_LM_FUZZ=$(or $(FUZZ),1000000) $(PYTHON) -m pytest -q \
	  $$(find tests -name '*fuzz_test.py')

.PHONY: numerics
numerics: .venv/.complete ## all programs against safer builds; for a new jaxlib
	@BEHAVIOR_LM_NUMERICS=all $(PYTHON) -m pytest -q tests/numerics_test.py

.PHONY: peers
peers: .venv-peers/.complete ## make .venv-peers: what we compare ourselves with

.venv-peers/.complete: requirements-peers.txt
	@$(call find_python,3.11,3.11); "$$python" -m venv --clear .venv-peers
	@echo "== installing torch, transformers and others into .venv-peers"
	@.venv-peers/bin/python $(PIP_INSTALL) -r requirements-peers.txt
	@# Its metrics run with the NumPy of the others; what it asks for is older.
	@.venv-peers/bin/python $(PIP_INSTALL) --no-deps \
	  RecTools==0.19.0 pm-implicit==0.7.3 typeguard==4.6.1 fastrlock==0.8.4
	@touch $@

.PHONY: clean
clean: ## remove the environments and the caches
	rm -rf .venv .venv-peers build *.egg-info
	rm -rf .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# `make demo` shows the cluster at work on two machines of the lab; `make test` runs the tests; `make init` is for
# machines of your own.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEBIAN := python3-venv mmdebstrap patchelf e2fsprogs rpm createrepo-c gnupg iproute2 openssh-client socat \
	chromium \
	gcc libc6-dev make flex bison bc xz-utils \
	libnftnl11 libnl-genl-3-200 libsnmp40  # of keepalived, which the tests unpack: installed, it would be enabled
export DEBIAN_FRONTEND := noninteractive
# Empty: Python keeps what it has compiled, as it does unless told otherwise. Else each start compiles the project anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help packages init demo test drills unit lint site down clean

help:  ## Show what there is to make
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

packages:  ## Install the Debian packages that the lab needs
	@missing=$$(for name in $(DEBIAN); do dpkg -s $$name >/dev/null 2>&1 || echo $$name; done); \
	if [ -n "$$missing" ]; then \
		echo "installing" $$missing; \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends $$missing >/dev/null; \
	fi

$(VENV)/installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet .
	@touch $@

$(VENV)/ready: pyproject.toml | packages
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet '.[dev]'
	@touch $(VENV)/installed $@

init: $(VENV)/installed  ## Write an inventory of your machines: make init DIR=~/logs NODES="stash1 stash2"
	@$(BIN)/python init.py $(if $(DIR),"$(DIR)",$(error DIR: is missing; write make init DIR=~/logs)) $(NODES)

demo: packages $(VENV)/ready  ## Boot the lab, deploy, verify, send four events: make demo [LOGSTASH=9.3.8]
	$(BIN)/python -m lab up $(if $(LOGSTASH),--logstash "$(LOGSTASH)")
	$(BIN)/pyinfra -y inventory.py deploy.py
	$(BIN)/python verify.py --send 4
	@echo; echo "Try next:"; \
	echo "  $(BIN)/pyinfra inventory.py deploy.py --dry --diff      # nothing left to change"; \
	echo "  $(BIN)/python -m lab power-off stash1                   # or stash2: pull the plug of the one with the VIP"; \
	echo "  $(BIN)/python verify.py --send 10                       # see what is wrong, and where events go"; \
	echo "  $(BIN)/python -m lab power-on stash1"; \
	echo "  $(BIN)/python -m lab ssh stash1                         # look around"; \
	echo "  make down                                               # remove the lab"

test: packages $(VENV)/ready  ## Run the tests, those in the lab too
	@$(BIN)/python -m lab build --el 9,10,7 &  # the lab's tests wait for it
	nice $(MAKE) lint
	$(BIN)/pytest -n 3  # one process has the tests in the lab, which often wait as the others do

drills: packages $(VENV)/ready  ## Run the long tests in the lab, which `test` leaves out
	$(BIN)/pytest -m long

unit: packages $(VENV)/ready  ## Run the tests that need no lab
	$(BIN)/pytest -n auto --ignore tests/lab --ignore tests/drills

lint: $(VENV)/ready  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

site: $(VENV)/ready  ## Make the pages of docs/ into a site: site/index.html
	$(BIN)/zensical build --strict --clean

down: $(VENV)/ready  ## Remove the demo's lab
	$(BIN)/python -m lab down

clean: down  ## Remove the lab, its cached images, the site and the Python environment
	rm -rf site .cache "$${LAB_CACHE:-$${XDG_CACHE_HOME:-$$HOME/.cache}/logstash-ha-lab}" $(VENV)

# Everything the project does is one word: `make demo`, `make test`. Both install what is missing first.

SHELL := /bin/bash
CARGO ?= cargo

.PHONY: help demo test check bench crds setup

help: ## What can be made
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: ## Installs what is missing
	@.ci/setup

demo: ## Makes VMs on a simulated Proxmox and shows them live
	@.ci/setup demo
	@. .ci/environment && $(CARGO) run --quiet -- demo

test: setup ## Runs all tests
	@. .ci/environment && $(CARGO) test --quiet --no-fail-fast

check: setup ## Formatting and lints
	@. .ci/environment && $(CARGO) fmt --check && $(CARGO) clippy --all-targets --quiet -- -D warnings

bench: ## Measures the REST API with all that is behind it
	@$(CARGO) bench --bench rest --bench upload

crds: ## Writes the custom resource definitions to crds/
	@$(CARGO) run --quiet -- crds --directory crds

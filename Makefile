# weft's verbs: the same here and in CI. Each one installs what it needs (xtask/setup.sh) and asks nothing.
# Logic longer than a line is Rust, in xtask/.

SETUP := xtask/setup.sh

.DEFAULT_GOAL := help
.PHONY: help demo build test e2e e2e-kernel bench fuzz fmt lint docs nightly clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@printf '\n  DEMO="--nodes 5 --keep" make demo and CASES=overlay make e2e pass arguments on.\n'

demo: build ## three nodes with a real Open vSwitch each, pods from YAML, who reaches whom; leaves target/release/weft
	@$(SETUP) fabric -- xtask/as-root.sh target/release/weft demo $(DEMO)

build: ## the weft program, into target/release/weft
	@$(SETUP) build -- cargo build --release --locked --package weft-cli --target-dir target

test: ## every test that needs neither a virtual machine nor a container engine
	@$(SETUP) build fabric test -- xtask/root-runner.sh cargo test --workspace --locked

e2e: ## only the cases that send packets through real switches (CASES=word picks some)
	@$(SETUP) build fabric test -- xtask/root-runner.sh cargo test --package weft-e2e --test cases --locked -- $(CASES)

e2e-kernel: ## those that show a datapath, on the kernel's, in a small virtual machine (CASES=word picks among all)
	@$(SETUP) build fabric test vm -- cargo xtask e2e-kernel $(CASES)

bench: build ## the measurements behind the numbers in docs/performance (BENCH=added-pod picks one)
	@$(SETUP) build fabric -- cargo run --release --locked --quiet --package weft-bench --target-dir target -- $(BENCH)

fuzz: ## every decoder against hostile bytes (FUZZ_SECONDS=30 for each, FUZZ_TARGETS=word picks some)
	@$(SETUP) build fuzz -- cargo xtask fuzz

fmt: ## format the code
	@$(SETUP) lint -- cargo fmt --all

lint: ## formatting, tidy, clippy, documentation and dependencies, warnings denied
	@$(SETUP) build lint -- cargo xtask lint

docs: ## write the generated documents, and the API documentation into target/doc
	@$(SETUP) build -- cargo xtask docs

nightly: ## what is too slow for every change: each crate alone, advisories, fuzzing, all cases on the kernel datapath
	@$(SETUP) build fabric fuzz lint test vm -- cargo xtask nightly

clean: ## remove what was built
	rm -rf target fuzz/target

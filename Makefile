# `make demo` and `make test` do all the set-up a fresh machine with Rust needs.
# Without it, Mesa's window-system code complains on machines that have no desktop session.
export XDG_RUNTIME_DIR ?= /tmp

.PHONY: demo test cooperative hlsl setup tools bench fmt

demo: setup
	cargo run --release --features cli -- train digits

test: setup tools
	cargo fmt --check
	cargo clippy -- -D warnings
	cargo clippy --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features
	cargo test --all-features
	sh tests/cooperative/run.sh
	sh tests/shaders/check.sh spirv
	sh scripts/examples.sh
	sh scripts/wasm.sh

# Products, convolutions and attention by cooperative matrices, on a software driver that has them.
cooperative: tools
	sh tests/cooperative/run.sh

# Variants of every kernel as DirectX gets them, by a compiler of that language: a minute, and a large package.
hlsl:
	sh tests/shaders/check.sh hlsl

bench: setup
	cargo bench --all-features

fmt:
	cargo fmt

# A Vulkan driver: nothing where one is, Mesa's software driver on Debian and Ubuntu, advice elsewhere.
setup:
	sh scripts/setup.sh

# Programs that check what shaders are translated to.
tools:
	sh scripts/tools.sh

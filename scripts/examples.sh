#!/bin/sh
# Runs every example; each checks its own result and fails if it is wrong.
set -eu
for file in examples/[0-9]*.rs; do
    name=$(basename "$file" .rs)
    echo "example $name"
    cargo run --quiet --all-features --example "$name" >/dev/null
done

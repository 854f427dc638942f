#!/bin/sh
# Runs every workload of wgrad's side in a process of its own, then prints the table against other engines' lines:
#   sh benches/peers/run.sh [LINES.jsonl…]     without files: those in benches/peers/lines
#   OUT            where wgrad's lines go, default target/peers/wgrad.jsonl (an old file is replaced)
#   ONLY           words separated by spaces: rows NAME or NAME:PASS, default all
#   COLD           1: a fresh folder for the driver's caches each time, so that cold_ms means cold
#   BENCH_RUNS, BENCH_SECONDS, BENCH_LOCK, BENCH_GROUP_NICE as the other engines' programs read them
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
out=${OUT:-$target/peers/wgrad.jsonl}
export XDG_RUNTIME_DIR="${XDG_RUNTIME_DIR:-/tmp}"

cargo build --release --quiet --locked --manifest-path "$here/Cargo.toml" --target-dir "$target"
program=$target/release/wgrad-peers
mkdir -p "$(dirname "$out")"
: >"$out"
# A session of its own, so that a scheduler's weight concerns the measured process only.
apart=
[ -z "${BENCH_GROUP_NICE:-}" ] || apart="setsid -w"
for row in $("$program" --list $(for word in ${ONLY:-}; do echo --only "$word"; done)); do
    cache=
    if [ -n "${COLD:-}" ]; then
        cache=$(mktemp -d)
        export XDG_CACHE_HOME="$cache" MESA_SHADER_CACHE_DIR="$cache"
    fi
    BENCH_T0=$(date +%s%N) $apart "$program" --only "$row" >>"$out"
    [ -z "$cache" ] || rm -r "$cache"
    tail -n 1 "$out" | cut -c 1-200 >&2
done
[ $# -gt 0 ] || set -- "$here"/lines/*.jsonl
python3 "$here/ratios.py" "$out" "$@"

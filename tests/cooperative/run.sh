#!/bin/sh
# Runs the tests of products, convolutions and attention, and those kept for it, on a software driver that has cooperative matrices.
# Where that cannot be had, says why and ends well: SKIPPED stands in front of the reason.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
root=$target/cooperative/root

skip() {
    echo "cooperative matrices: SKIPPED, $*"
    exit 0
}

rc=0
reason=$(sh tests/cooperative/chroot.sh "$root" 2>&1) || rc=$?
[ "$rc" = 77 ] && skip "${reason#cooperative: }"
[ "$rc" = 0 ] || { echo "$reason" >&2; exit "$rc"; }

mesa=$(gzip -dc "$root/usr/share/doc/mesa-vulkan-drivers/changelog.Debian.gz" | sed -n '1s/.*(\([0-9.]*\).*/\1/p')
older() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; }
older "$mesa" 26.1 && skip "the newest driver of the mirror is Mesa $mesa; 26.1 is the first that has them"

loader=$(ls "$root"/usr/lib/*-linux-gnu*/ld-linux*.so.* | head -n 1)
libraries=$(dirname "$loader")
here=$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/.* //')
there=$("$loader" --version | sed -n '1s/.* \([0-9][0-9.]*[0-9]\).*/\1/p')
[ -n "$here" ] || skip "this machine's C library is not glibc"
older "$there" "$here" && skip "programs built here need glibc $here, the driver's Debian has $there"

icd=$target/cooperative/lavapipe.json
printf '{"file_format_version": "1.0.0", "ICD": {"library_path": "%s", "api_version": "1.3.0"}}\n' \
    "$libraries/libvulkan_lvp.so" >"$icd"
host=$(rustc -vV | sed -n 's/^host: //p')
echo "cooperative matrices: Mesa $mesa"
run() {
    VK_DRIVER_FILES=$icd cargo test --quiet --all-features \
        --config "target.$host.runner = ['$loader', '--library-path', '$libraries']" "$@"
}
run --lib -- ops::matmul ops::conv ops::attention
run --test main -- --include-ignored cooperative::

#!/bin/sh
# Has others check what naga makes of the shaders, which tests/shaders writes to the build folder:
# SPIR-V by spirv-val, HLSL by the Slang compiler. Says SKIPPED and why where one of them is not there.
#
#     check.sh spirv|hlsl
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-$PWD/target}
shaders=$target/tmp/shaders
cores=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

# Not again where nothing has changed since they were written.
if [ ! -d "$shaders" ] || [ -n "$(find src shaders tests/shaders -newer "$shaders" -type f)" ]; then
    cargo test --quiet --all-features --test main shaders::every >/dev/null
fi

# The files of a folder, at most so many for each entry point, are given to a command fifty at a time; what it prints
# is what is wrong.
all() {
    what=$1 folder=$2 most=$3
    shift 3
    list=$target/tmp/$folder.list
    # NAME-HASH.ENDING
    find "$shaders/$folder" -type f | sort |
        awk -v most="$most" '{ name = $0; sub(/-[0-9a-f]+\.[a-z.]+$/, "", name); if (++seen[name] <= most) print }' >"$list"
    if wrong=$(xargs -P "$cores" -n 50 "$@" <"$list" 2>&1); then
        echo "$what: $(wc -l <"$list") of $(find "$shaders/$folder" -type f | wc -l) looked at, all valid"
    else
        echo "$what: NOT VALID"
        echo "$wrong"
        exit 1
    fi
}

validate='
    environment=$1
    shift
    rc=0
    for file; do
        $SPIRV_VAL --target-env "$environment" "$file" || { echo "in $file"; rc=1; }
    done
    exit $rc'

case $1 in
spirv)
    if command -v spirv-val >/dev/null 2>&1; then
        export SPIRV_VAL=spirv-val
        all "SPIR-V" spv 100000 sh -c "$validate" sh vulkan1.1
    else
        echo "SPIR-V: SKIPPED, there is no spirv-val here (apt-get install spirv-tools)"
    fi
    # Validators before 2024 do not know cooperative matrices; the one beside the driver that has them does.
    root=$target/cooperative/root
    if [ -e "$root/complete" ]; then
        loader=$(find "$root"/usr/lib/*-linux-gnu*/ -name 'ld-linux*.so.*' | head -n 1)
        export SPIRV_VAL="$loader --library-path $(dirname "$loader") $root/usr/bin/spirv-val"
        all "SPIR-V with cooperative matrices" cooperative.spv 100000 sh -c "$validate" sh vulkan1.3
    else
        echo "SPIR-V with cooperative matrices: SKIPPED, no validator that knows them (make cooperative says why)"
    fi
    ;;
hlsl)
    # A library in a Python package, of which nothing else is used.
    tools=$target/tools
    library=$(find "$tools" -name 'libslang-compiler*' 2>/dev/null | head -n 1)
    if [ -z "$library" ]; then
        mkdir -p "$tools"
        if ! reason=$(python3 -m pip download --quiet --no-deps --dest "$tools" slangpy 2>&1); then
            echo "HLSL: SKIPPED, the package slangpy cannot be had: $(echo "$reason" | tail -n 1)"
            exit 0
        fi
        python3 -m zipfile -e "$tools"/slangpy-*.whl "$tools/slangpy"
        rm "$tools"/slangpy-*.whl
        library=$(find "$tools" -name 'libslang-compiler*' | head -n 1)
        if [ -z "$library" ]; then
            echo "HLSL: SKIPPED, the package slangpy has no compiler for this system"
            exit 0
        fi
    fi
    all "HLSL" hlsl 4 python3 tests/shaders/slang.py "$library"
    ;;
*)
    echo "check.sh spirv|hlsl" >&2
    exit 2
    ;;
esac

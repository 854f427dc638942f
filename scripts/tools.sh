#!/bin/sh
# Installs the outside programs that check shaders, where that is a matter of one command. What cannot be had is
# said, here and by the check that then does not run; nothing depends on it.
set -u

as_root=""
if [ "$(id -u)" != 0 ]; then
    as_root="sudo -n"
fi

missing=""
command -v spirv-val >/dev/null 2>&1 || missing="$missing spirv-tools"
command -v mmdebstrap >/dev/null 2>&1 || missing="$missing mmdebstrap"
[ -z "$missing" ] && exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "tools: not installed, there is no apt-get here:$missing" >&2
    exit 0
fi
# shellcheck disable=SC2086
if ! { $as_root apt-get update -q && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q $missing; } \
    >/dev/null 2>&1; then
    echo "tools: could not be installed:$missing" >&2
fi
exit 0

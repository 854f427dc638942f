#!/bin/sh
# Unpacks a Debian with Mesa 26.1 or later, whose software driver has cooperative matrices, into a folder.
# Nothing of it is installed or configured: programs run with its libraries through its own loader, see run.sh.
#
#     chroot.sh FOLDER
#
# DEBIAN_MIRROR names a mirror; without it, it is the one this machine uses, or Debian's own.
# Says why where it cannot be had, and ends with 77.
set -eu
root=$1
packages=mesa-vulkan-drivers,libvulkan1,libgcc-s1,libc6,spirv-tools

cannot() {
    echo "cooperative: $*" >&2
    exit 77
}

[ -e "$root/complete" ] && exit 0
[ "$(uname -s)" = Linux ] || cannot "the driver is a Linux program, this is $(uname -s)"
command -v mmdebstrap >/dev/null 2>&1 || cannot "there is no mmdebstrap here (apt-get install mmdebstrap)"

mirror=${DEBIAN_MIRROR:-}
if [ -z "$mirror" ] && command -v apt-get >/dev/null 2>&1; then
    # shellcheck disable=SC2016
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Origin: Debian' 2>/dev/null | grep -v security | head -n 1)
fi
mirror=${mirror:-http://deb.debian.org/debian}

rm -rf "$root"
mkdir -p "$(dirname "$root")"
log=$root.log
if ! mmdebstrap --variant=extract --include=$packages --aptopt='APT::Default-Release "trixie-backports"' \
    trixie "$root" "deb $mirror trixie main" "deb $mirror trixie-backports main" >"$log" 2>&1; then
    rm -rf "$root"
    cannot "Debian's packages cannot be had from $mirror: $(grep -m 1 '^E:' "$log" || tail -n 1 "$log")"
fi
touch "$root/complete"

#!/bin/sh
# Makes sure that a GPU driver is there. Installs Mesa's software driver on Debian and Ubuntu where no
# Vulkan driver is; says what to do elsewhere.
set -eu

case "$(uname -s)" in
Darwin | MINGW* | MSYS* | CYGWIN*)
    # Metal and DirectX 12 are parts of the system.
    exit 0
    ;;
esac

loader() {
    for folder in /usr/lib /usr/lib64 /usr/local/lib /usr/lib/*-linux-gnu; do
        [ -e "$folder/libvulkan.so.1" ] && return 0
    done
    return 1
}

driver() {
    [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] && return 0
    for folder in /usr/share/vulkan/icd.d /usr/local/share/vulkan/icd.d /etc/vulkan/icd.d; do
        for file in "$folder"/*.json; do
            [ -e "$file" ] && return 0
        done
    done
    return 1
}

loader && driver && exit 0

if command -v apt-get >/dev/null 2>&1; then
    echo "setup: no Vulkan driver found; installing Mesa's software driver"
    as_root=""
    if [ "$(id -u)" != 0 ]; then
        if ! command -v sudo >/dev/null 2>&1; then
            echo "setup: run this as root: apt-get install libvulkan1 mesa-vulkan-drivers" >&2
            exit 1
        fi
        as_root="sudo"
    fi
    $as_root apt-get update -q
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -q libvulkan1 mesa-vulkan-drivers
    exit 0
fi

cat >&2 <<'TEXT'
setup: no Vulkan driver found. Install one, then run make again:
  Fedora  sudo dnf install vulkan-loader mesa-vulkan-drivers
  Arch    sudo pacman -S vulkan-icd-loader vulkan-swrast   (or your GPU's vulkan package)
TEXT
exit 1

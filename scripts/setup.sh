# What `scripts/bench` and `scripts/test` share: finding and installing what is missing.
# Sourced, not run.

say() { printf '%s\n' "$*" >&2; }

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"
    elif command -v sudo >/dev/null; then say "sudo $*"; sudo "$@"
    else return 1
    fi
}

# install_packages COMMAND-OR-FILE=PACKAGE …: installs the packages whose command or file is missing.
install_packages() {
    local pair probe missing=()
    for pair in "$@"; do
        probe=${pair%%=*}
        case "$probe" in
            /*) [ -e "$probe" ] || missing+=("${pair#*=}") ;;
            *) command -v "$probe" >/dev/null || missing+=("${pair#*=}") ;;
        esac
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null; then
        say "please install: ${missing[*]} (Debian's names); going on without"
        return 0
    fi
    say "installing: ${missing[*]}"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 || true
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >&2; then
        say "could not install ${missing[*]}; going on without"
    fi
}

setup_build() {
    command -v cargo >/dev/null || { say "bench needs Rust: https://rustup.rs"; exit 77; }
    install_packages cc=gcc /usr/include/stdlib.h=libc6-dev
}

# QEMU. Its tools must come from the same source as the emulator: where another version of
# qemu-utils is installed apt refuses, and is told to take the emulator's own.
setup_vm() {
    command -v qemu-system-x86_64 >/dev/null && return 0
    if command -v apt-get >/dev/null && dpkg -s qemu-utils >/dev/null 2>&1; then
        as_root env DEBIAN_FRONTEND=noninteractive apt-get update -qq >&2 || true
        local version
        version=$(apt-cache policy qemu-system-x86 | awk '/Candidate:/ {print $2}')
        as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
            --allow-downgrades qemu-system-x86 "qemu-utils=$version" seabios >&2 && return 0
    fi
    install_packages qemu-system-x86_64=qemu-system-x86 /usr/share/seabios/bios.bin=seabios
}

# Other people's runtimes, for comparison.
setup_peers() {
    install_packages crun=crun runc=runc bwrap=bubblewrap
}

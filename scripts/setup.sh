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

# What runs each test in a process of its own, and ends and names one that does not end.
setup_runner() {
    cargo nextest --version >/dev/null 2>&1 && return 0
    say "building cargo-nextest"
    cargo install --quiet --locked cargo-nextest --version 0.9.151 ||
        say "cargo-nextest could not be built; going on with cargo test"
}

# What drives our runtime as an OCI runtime in its tests. dockerd is started by the tests themselves.
setup_drivers() {
    install_packages umoci=umoci docker=docker.io dockerd=docker.io tar=tar
}

# Other people's runtimes, for comparison.
setup_peers() {
    install_packages crun=crun runc=runc runsc=runsc bwrap=bubblewrap
    command -v youki >/dev/null && return 0
    # No distribution has it; what it can do beyond the namespaces is not in its default features.
    install_packages /usr/include/seccomp.h=libseccomp-dev pkg-config=pkg-config
    say "building youki"
    cargo install --quiet --locked youki --version 0.7.0 --features v1,v2,seccomp ||
        say "youki could not be built; going on without"
}

# What makes, copies and serves images, for the tests that hand images to and fro.
setup_images() {
    install_packages skopeo=skopeo umoci=umoci docker-registry=docker-registry mmdebstrap=mmdebstrap \
        podman=podman xz=xz-utils bzip2=bzip2 setpriv=util-linux
}

# What tests look at interfaces with; bench itself speaks netlink.
setup_network() {
    install_packages ip=iproute2
}

# The programs that map a user's subordinate ids, for containers without root.
setup_rootless() {
    install_packages newuidmap=uidmap
}

# A guest kernel, unpacked (not installed) from the distribution's package into the cache:
# kernels/<version>/boot/vmlinuz-<version> and kernels/<version>/lib/modules/<version>.
setup_kernel() {
    local cache="${XDG_CACHE_HOME:-$HOME/.cache}/bench/kernels" meta package version work
    compgen -G "$cache/*/boot/vmlinuz-*" >/dev/null && return 0
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    for meta in linux-image-cloud-amd64 linux-image-kvm linux-image-virtual; do
        package=$(apt-cache depends "$meta" 2>/dev/null |
            awk '$1 == "Depends:" && $2 ~ /^linux-image-[0-9]/ {print $2; exit}')
        [ -z "$package" ] || break
    done
    [ -n "${package:-}" ] || return 1
    version=${package#linux-image-}
    mkdir -p "$cache"
    # Beside its final place, so that a rename makes it whole or not at all.
    work=$(mktemp -d "$cache/.unpack.XXXXXX")
    say "unpacking a guest kernel: $package"
    # Joined by &&: errexit does not work inside a condition.
    if (
        cd "$work" && mkdir root &&
        apt-get download -qq -o APT::Sandbox::User=root "$package" >&2 &&
        # Ubuntu keeps the modules in a package of their own; Debian has none of that name.
        { ! apt-cache show "linux-modules-$version" >/dev/null 2>&1 ||
            apt-get download -qq -o APT::Sandbox::User=root "linux-modules-$version" >&2; } &&
        for file in *.deb; do dpkg-deb -x "$file" root || exit 1; done &&
        [ -e "root/boot/vmlinuz-$version" ] &&
        mv root "$cache/$version"
    ); then rm -rf "$work"; else rm -rf "$work"; return 1; fi
}

# The parsers of those that exports are made for, in a Python environment beside what cargo builds.
setup_consumers() {
    local home="${CARGO_TARGET_DIR:-$PWD/target}/consumers"
    [ -x "$home/bin/otava" ] && return 0
    install_packages python3=python3 /usr/share/doc/python3-venv=python3-venv
    mkdir -p "${home%/*}"
    rm -rf "$home"
    say "installing parsers for exported files"
    python3 -m venv "$home" &&
        "$home/bin/pip" install --quiet --disable-pip-version-check \
            junitparser==5.0.3 jsonschema==4.26.0 prometheus_client==0.26.0 apache-otava==0.8.0 >&2 ||
        { rm -rf "$home"; return 1; }
}

# What disks of virtual machines are made with.
setup_disks() {
    install_packages mke2fs=e2fsprogs qemu-img=qemu-utils grub-mkimage=grub-common mcopy=mtools \
        /usr/lib/grub/i386-pc/boot.img=grub-pc-bin /usr/lib/grub/x86_64-efi/linux.mod=grub-efi-amd64-bin \
        /usr/share/OVMF=ovmf
}

# A small Debian (or Ubuntu) with systemd, a kernel and redis in test-system/rootfs of the cache, which
# the tests of complete virtual machines boot.
setup_system() { make_system test-system; }

# The same with a second kernel that has drivers for all hardware: what `bench run portability` carries
# from hypervisor to hypervisor.
setup_portable_system() { make_system portable-system general; }

# make_system NAME [general]: made as root, for its files belong to several users.
make_system() {
    local cache="${XDG_CACHE_HOME:-$HOME/.cache}/bench/$1" kernel general components work
    # One made before nginx, or the bus, was asked for is made again.
    [ ! -e "$cache/rootfs/usr/sbin/nginx" ] || [ ! -e "$cache/rootfs/usr/bin/dbus-daemon" ] || return 0
    [ "$(id -u)" = 0 ] || return 1
    install_packages mmdebstrap=mmdebstrap
    case $(. /etc/os-release && echo "$ID") in
        debian) kernel=linux-image-cloud-amd64 general=linux-image-amd64 components=main ;;
        ubuntu) kernel=linux-image-virtual general=linux-image-generic components=main,universe ;;
        *) return 1 ;;
    esac
    [ "${2:-}" != general ] || kernel=$kernel,$general
    mkdir -p "$cache"
    # Beside its final place, so that a rename makes it whole or not at all.
    work=$(mktemp -d "$cache/.make.XXXXXX")
    say "making $1 for complete virtual machines"
    # dbus: without it nothing listens to the power button (systemd-logind.service(8)).
    # Reachable from outside: Debian's own configuration listens on loopback only.
    if mmdebstrap --quiet --variant=minbase --components="$components" \
        --include="systemd-sysv,dbus,udev,initramfs-tools,$kernel,redis-server,nginx-light" \
        --customize-hook='sed -i "s/^bind .*/bind 0.0.0.0/; s/^protected-mode yes/protected-mode no/" "$1/etc/redis/redis.conf"' \
        "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$work/rootfs" >&2 && rm -rf "$cache/rootfs" && mv "$work/rootfs" "$cache/rootfs"
    then rm -rf "$work"; else rm -rf "$work"; return 1; fi
}

# Container engines, for comparison. Their packages must start nothing: the tests have engines of
# their own (with-engines). A policy-rc.d is how Debian's maintainer scripts are told so.
setup_engines() {
    local policy=/usr/sbin/policy-rc.d ours=
    if command -v apt-get >/dev/null && [ ! -e "$policy" ]; then
        as_root sh -c "printf '#!/bin/sh\\nexit 101\\n' >$policy && chmod 755 $policy" && ours=1
    fi
    install_packages dockerd=docker.io podman=podman containerd=containerd ctr=containerd
    [ -z "$ours" ] || as_root rm -f "$policy"
}

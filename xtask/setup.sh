#!/bin/sh
# Installs what the named jobs need and is missing, then runs a command with Rust on its PATH:
#
#     xtask/setup.sh build fabric test -- cargo test
#
# build: a Rust new enough and a linker.   lint: rustfmt and clippy.
# fabric: Open vSwitch, iproute2, ping.    test: the programs that tests hold weft against.
# vm: qemu, and what unpacks a kernel.     fuzz: a C++ compiler.
#
# Debian and Ubuntu (apt), as root or with sudo. It asks nothing, installs nothing that is there already,
# and starts no daemon. This is the only logic outside Rust, because Rust may not be there yet.
set -eu
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# /usr/sbin holds ovs-vswitchd and is not on every user's PATH.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin:${CARGO_HOME:-$HOME/.cargo}/bin"
export PATH

packages=
# want PROGRAM PACKAGE...: the packages to install when the program is missing.
want() {
    command -v "$1" >/dev/null 2>&1 && return
    shift
    packages="$packages $*"
}

# The least Rust that builds the workspace: one number, in Cargo.toml.
rust_needed=$(sed -n 's/^rust-version = "\([0-9]*\.[0-9]*\).*"$/\1/p' Cargo.toml)

cargo_is_new_enough() {
    found=$(cargo --version 2>/dev/null | sed -n 's/^cargo \([0-9]*\.[0-9]*\).*/\1/p')
    [ -n "$found" ] && [ "$(printf '%s\n%s\n' "$rust_needed" "$found" | sort -V | head -n 1)" = "$rust_needed" ]
}

install_packages() {
    [ -n "$packages" ] || return 0
    command -v apt-get >/dev/null 2>&1 ||
        die "missing:$packages (Debian's names). This is neither Debian nor Ubuntu: install them with your package manager and run this again"
    as_root=
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null 2>&1 || die "installing$packages takes root: run this as root, or install sudo"
        as_root=sudo
    fi
    say "installing$packages"
    # Debian's openvswitch-switch starts its daemons on installation. weft's fabrics run their own, so nothing is
    # to be started here: policy-rc.d refuses it while apt runs (invoke-rc.d(8)). One that is there already stays.
    # shellcheck disable=SC2086 # packages is a list
    $as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a sh -euc '
        policy=/usr/sbin/policy-rc.d
        if [ ! -e $policy ]; then
            trap "rm -f $policy" EXIT
            trap "exit 130" INT TERM
            printf "#!/bin/sh\nexit 101\n" >$policy
            chmod 755 $policy
        fi
        apt-get -q update >&2 || echo "setup: the package lists could not all be refreshed; trying those there are" >&2
        apt-get -q -y -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 \
            --no-install-recommends install "$@" >&2
    ' sh $packages || die "apt-get could not install$packages; its message is above"
}

install_rust() {
    cargo_is_new_enough && return
    why="there is no cargo"
    [ -z "$found" ] || why="cargo $found is older than $rust_needed"
    # Stable may be there already, and only not be the default.
    RUSTUP_TOOLCHAIN=stable
    export RUSTUP_TOOLCHAIN
    cargo_is_new_enough && return
    if command -v rustup >/dev/null 2>&1; then
        say "$why: installing the stable toolchain with the rustup on PATH"
        rustup toolchain install stable --profile minimal >&2
    else
        say "$why: installing Rust with rustup into ${CARGO_HOME:-$HOME/.cargo}"
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal --default-toolchain stable --no-modify-path >&2
    fi
    # An older cargo before it on PATH must not win.
    PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    export PATH
    cargo_is_new_enough && return
    die "there still is no cargo of version $rust_needed or newer${found:+ (but $found, $(command -v cargo))}: what rustup or curl said is above"
}

install_components() {
    { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 && return
    command -v rustup >/dev/null 2>&1 || die "cargo fmt or cargo clippy is missing: install rustfmt and clippy from where this cargo came"
    say "adding rustfmt and clippy"
    rustup component add rustfmt clippy >&2
}

jobs=
while [ $# -gt 0 ]; do
    case $1 in
    --) shift; break ;;
    build | lint | fabric | test | vm | fuzz) jobs="$jobs $1 " ;;
    *) die "unknown job '$1': build, lint, fabric, test, vm or fuzz, then -- and a command" ;;
    esac
    shift
done
case $jobs in *" build "* | *" lint "*)
    want cc gcc libc6-dev
    cargo_is_new_enough || command -v rustup >/dev/null 2>&1 || want curl curl ca-certificates
    ;;
esac
case $jobs in *" fabric "*)
    want ovs-vswitchd openvswitch-switch
    want ip iproute2
    want ping iputils-ping
    ;;
esac
case $jobs in *" test "*)
    want ovn-nbctl ovn-common
    want tcpdump tcpdump
    want nft nftables
    ;;
esac
case $jobs in *" fuzz "*)
    want c++ g++
    ;;
esac
case $jobs in *" vm "*)
    want qemu-system-x86_64 qemu-system-x86
    want depmod kmod
    want setpriv util-linux
    ;;
esac
install_packages
case $jobs in *" build "* | *" lint "*) install_rust ;; esac
case $jobs in *" lint "*) install_components ;; esac

[ $# -eq 0 ] || exec "$@"

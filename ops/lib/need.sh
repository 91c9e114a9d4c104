# What the scripts need on a machine; sourced. Installs only as root with apt-get, otherwise says in one line what is missing.

# Node.js below this cannot run the web client's build.
NODE_MAJOR_MIN=20

have() { command -v "$1" >/dev/null 2>&1; }

die() {
    echo "$(basename "$0"): $1" >&2
    exit 1
}

# need COMMAND PACKAGE...: the command, or the Debian packages that bring it.
need() {
    local command=$1
    shift
    have "$command" && return 0
    if [ "$(id -u)" = 0 ] && have apt-get; then
        apt_update_once
        apt-get install -y --no-install-recommends "$@" >/dev/null || die "apt-get could not install $*"
    fi
    have "$command" || die "$command is missing: install it (Debian: apt-get install $*)"
}

apt_update_once() {
    [ -n "${apt_updated:-}" ] && return 0
    apt-get update -q >/dev/null || die "apt-get update failed"
    apt_updated=1
}

need_cargo() {
    # rustup puts cargo where a login shell finds it; this may be another shell.
    have cargo || [ ! -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ] || PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    if ! have cargo && [ "$(id -u)" = 0 ] && have apt-get; then
        need curl curl ca-certificates
        # The version itself is pinned by rust-toolchain.toml.
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y -q --default-toolchain none --no-modify-path
        PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
    fi
    have cargo || die "cargo is missing: install Rust from https://rustup.rs"
}

need_node() {
    need node nodejs
    need npm npm
    local version
    version=$(node --version)
    version=${version#v}
    [ "${version%%.*}" -ge "$NODE_MAJOR_MIN" ] || die "Node.js $version is too old: $NODE_MAJOR_MIN or newer is needed"
}

need_build_tools() {
    need cc build-essential
    need_cargo
    need_node
}

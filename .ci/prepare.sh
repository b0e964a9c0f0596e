# Installs what the stages need beyond Rust, Python 3 and a C compiler. Sourced by .ci/run.
#
# It comes before the stages so that a slow network is not taken for a slow product.

# The lists of packages were fetched by this run: what a fresh machine has may be empty or old.
lists_are_fresh=

# install PACKAGE: fetches lists and package; a mirror may be busy, so three times.
install() {
    local try
    for try in 1 2 3; do
        ((try == 1)) || sleep 5
        [[ -n "$lists_are_fresh" ]] || apt-get update -qq || continue
        lists_are_fresh=yes
        DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$1" && return
        lists_are_fresh=
    done
    return 1
}

# missing WHAT PACKAGE: installs a Debian package where we may, or says what to do.
missing() {
    [[ $(id -u) == 0 ]] && command -v apt-get > /dev/null && install "$2" && return
    echo "==> FAILED: $1 is missing; install it (Debian: apt-get install $2)" >&2
    exit 1
}

# command_of COMMAND PACKAGE: a command that has to be there.
command_of() {
    command -v "$1" > /dev/null || missing "$1" "$2"
}

# component SUBCOMMAND NAME: a part of the toolchain that a minimal profile leaves out.
component() {
    cargo "$1" --version > /dev/null 2>&1 && return
    command -v rustup > /dev/null && rustup component add "$2" && return
    echo "==> FAILED: cargo $1 is missing; install it (rustup component add $2)" >&2
    exit 1
}

# python_venv: what makes virtual environments.
python_venv() {
    python3 -c 'import ensurepip, venv' 2> /dev/null || missing "Python's venv" python3-venv
}

# python_packages NAME REQUIREMENTS: a virtual environment, made anew when the list has changed.
python_packages() {
    local environment="$CARGO_TARGET_DIR/ci/$1"
    cmp -s "$2" "$environment/requirements.txt" && return
    python_venv
    rm -rf "$environment"
    python3 -m venv "$environment"
    "$environment/bin/pip" install --quiet --disable-pip-version-check --requirement "$2"
    cp "$2" "$environment/requirements.txt"
}

prepare() {
    local stage
    command_of cargo cargo
    command_of cc build-essential
    command_of python3 python3
    for stage in "$@"; do
        case "$stage" in
            lint)
                component fmt rustfmt
                component clippy clippy
                python_packages lint .ci/requirements.txt
                ;;
            tour) command_of git git ;;
            torture)
                # Programs of administrators stand where the path of others does not look.
                PATH+=:/usr/sbin:/sbin
                command_of unshare util-linux
                command_of nsenter util-linux
                command_of mount mount
                command_of perl perl-base
                command_of ip iproute2
                command_of mkfs.ext4 e2fsprogs
                command_of mkfs.xfs xfsprogs
                command_of linux.uml user-mode-linux
                command_of strace strace
                command_of faketime faketime
                ;;
            interop) python_packages interop tests/interop/python/requirements.txt ;;
            compat)
                python_venv
                command_of node nodejs
                command_of npm npm
                command_of javac default-jdk-headless
                command_of mvn maven
                tests/compat/run --prepare python javascript java
                ;;
            *) ;;
        esac
    done
    cargo fetch --locked --quiet
}

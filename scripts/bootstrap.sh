#!/usr/bin/env bash
# Installs what a machine lacks; the Makefile and .ci/run call it. A second call finds everything in place.
#
#   scripts/bootstrap.sh packages NAME...   Debian packages, where we may install them (root); elsewhere names them
#   scripts/bootstrap.sh venv EXTRA         the virtual environment $VENV, with this checkout and one of its extras
#   scripts/bootstrap.sh upstream           the virtual environment $UPSTREAM_VENV, with session3 as it is on PyPI
#
# $PYTHON names the interpreter of the virtual environment.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VENV=${VENV:-.venv}
PYTHON=${PYTHON:-}
NAMES=${PYTHON:-python3.13 python3.12 python3.11 python3.10 python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1 DEBIAN_FRONTEND=noninteractive

LOG=$(mktemp -d)
trap 'rm -rf "$LOG"' EXIT

say() { printf '== %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# Run a command; what it says is shown only if it fails.
quietly() { "$@" >"$LOG/output" 2>&1 </dev/null || { cat "$LOG/output" >&2 && return 1; }; }

# -- Debian packages ---------------------------------------------------------------------------------------------------

on_debian() { command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; }

may_install() { [ "$(id -u)" = 0 ] && on_debian; }

is_installed() { [ "$(dpkg-query -Wf '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

lists_are_fresh() {
    # apt works in partial/ at each update; the lists themselves bear the server's times
    [ -n "$(find /var/lib/apt/lists/partial -maxdepth 0 -mtime -1 2>/dev/null)" ] &&
        compgen -G '/var/lib/apt/lists/*_Packages*' >/dev/null
}

apt_update() { quietly apt-get -qq -o DPkg::Lock::Timeout=120 update; }

apt_get_install() { apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120 install "$@"; }

# Install what is missing of the packages. False if that can't be done, or not for all of them.
apt_install() {
    local package missing=()
    on_debian || return 1
    for package; do is_installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -gt 0 ] || return 0
    may_install || return 1

    say "apt-get install ${missing[*]}"
    lists_are_fresh || apt_update || true
    apt_get_install "${missing[@]}" >"$LOG/first" 2>&1 </dev/null && return 0
    apt_update || true
    quietly apt_get_install "${missing[@]}" && return 0
    # One unknown name must not cost the others.
    [ ${#missing[@]} -gt 1 ] || return 1
    for package in "${missing[@]}"; do quietly apt_get_install "$package" || true; done
    return 1
}

packages() {
    local package missing=()
    apt_install "$@" && return
    for package; do is_installed "$package" 2>/dev/null || missing+=("$package"); done
    say "not installed, so what needs it is skipped: apt-get install ${missing[*]}"
}

# -- Python and its virtual environment --------------------------------------------------------------------------------

# Run some Python, with `sys` and `sysconfig` there: ask INTERPRETER CODE [ARGUMENT...]
ask() { "$1" -c "import sys, sysconfig; $2" "${@:3}" 2>/dev/null; }

is_recent() { ask "$1" 'sys.exit(sys.version_info < (3, 10))'; }

can_make_venv() { ask "$1" 'import ensurepip, venv'; }

version() { ask "$1" 'print("%d.%d" % sys.version_info[:2])'; }

is_debians() { ask "$1" 'sys.exit(sys.base_prefix != "/usr")' && on_debian; }

# Print the path of the first interpreter that is recent enough and passes a test.
first_python() {
    local name
    for name in $NAMES; do
        # A shim may be there for a version that is not switched on: only running it tells.
        if is_recent "$name" && "$1" "$name"; then
            ask "$name" 'print(sys.executable)'
            return
        fi
    done
    return 1
}

find_python() {
    local python package
    first_python can_make_venv && return
    if python=$(first_python true); then
        package=python$(version "$python")-venv
        is_debians "$python" && apt_install "$package" && can_make_venv "$python" && echo "$python" && return
        die "$python can't make virtual environments; as root: apt-get install $package (or name another: PYTHON=...)"
    fi
    [ -z "$PYTHON" ] || die "$PYTHON does not run here, or is older than Python 3.10"
    apt_install python3 python3-venv && first_python can_make_venv && return
    die "Python 3.10 or newer is needed; as root: apt-get install python3 python3-venv (or name one: PYTHON=...)"
}

venv_works() {
    ask "$VENV/bin/python" 'import pip' || return 1
    # Another interpreter was asked for?
    [ -z "$PYTHON" ] || [ "$(identity "$PYTHON")" = "$(identity "$VENV/bin/python")" ]
}

identity() { ask "$1" 'print(sys.base_prefix, sys.version)'; }

make_venv() {
    local python
    if [ -e "$VENV" ] && [ ! -f "$VENV/pyvenv.cfg" ]; then die "$VENV is there and no virtual environment"; fi
    python=$(find_python)
    say "$VENV: a virtual environment of Python $(version "$python"), $python"
    quietly "$python" -m venv --clear "$VENV"
}

pip() { "$VENV/bin/python" -m pip "$@"; }

# -- what comes as C source --------------------------------------------------------------------------------------------

# Build a module of a line, with the compiler that setuptools would take.
can_compile() {
    local python=$VENV/bin/python
    echo '#include <Python.h>' >"$LOG/probe.c"
    # shellcheck disable=SC2046,SC2086  # the compiler may come with options
    ${CC:-$(ask "$python" 'print(sysconfig.get_config_var("CC") or "cc")')} -shared -fPIC \
        -I"$(ask "$python" 'print(sysconfig.get_path("include"))')" "$LOG/probe.c" -o "$LOG/probe.so" >/dev/null 2>&1
}

install_compiler() {
    local needed=(gcc libc6-dev)
    if is_debians "$VENV/bin/python"; then needed+=("python$(version "$VENV/bin/python")-dev"); fi
    apt_install "${needed[@]}"
}

# What setup.cfg asks for in the extras of that name.
requirements() {
    ask "$VENV/bin/python" '
import configparser
config = configparser.ConfigParser()
config.read("setup.cfg")
print(*(config["options.extras_require"][extra].strip() for extra in sys.argv[1:]), sep="\n")' "$@"
}

# Quixote and Durus have no wheels. Their C modules only make them faster, so they are left out where nothing compiles.
install_from_source() {
    local needed
    mapfile -t needed < <(requirements "$@")
    if can_compile || { install_compiler && can_compile; }; then
        pip install -q --use-pep517 "${needed[@]}" >"$LOG/compile" 2>&1 && return
        tail -n 5 "$LOG/compile" >&2
        say "can't build ${needed[*]} (above); now without the C modules"
    else
        say "no C compiler, or no Python.h, for ${needed[*]}: installed without the C modules"
    fi
    # Never into pip's cache: a later install, with a compiler, would find it there.
    quietly env CC=true LDSHARED=true "$VENV/bin/python" -m pip install -q --no-cache-dir --use-pep517 "${needed[@]}"
}

# Drivers that the tests take where they compile.
install_for_tests() {
    if ! { can_compile && quietly pip install -q "$@"; }; then
        say "did not compile, so what needs it is skipped: pip install $*"
    fi
}

# What an installation was made of: when this changes, it is made again.
recipe() { cksum setup.cfg setup.py pyproject.toml scripts/bootstrap.sh && pwd && echo "$PYTHON"; }

venv() {
    local extra=$1 stamp=$VENV/.session3-$1
    if venv_works; then
        if [ "$(recipe)" = "$(cat "$stamp" 2>/dev/null)" ]; then return; fi
    else
        make_venv
    fi
    say "pip install -e '.[$extra]'"
    case $extra in
        quixote) install_from_source quixote ;;
        *) install_from_source quixote durus ;;
    esac
    quietly pip install -q -e ".[$extra]"
    if [ "$extra" = dev ]; then install_for_tests mysqlclient; fi
    recipe >"$stamp"
}

# What the benchmark measures us against; it bears our name, so it can't be installed where we are.
upstream() {
    local wanted=session3==3.4.1 stamp
    VENV=${UPSTREAM_VENV:-.venv-upstream} stamp=$VENV/.session3-upstream
    if venv_works; then
        if [ "$wanted" = "$(cat "$stamp" 2>/dev/null)" ]; then return; fi
    else
        make_venv
    fi
    say "$VENV: pip install $wanted"
    if install_from_source quixote && quietly pip install -q "$wanted"; then
        echo "$wanted" >"$stamp"
    else
        say "not installed, so the benchmark leaves it out: $wanted"
    fi
}

case ${1:-} in
    packages | venv | upstream) "$@" ;;
    *) die "usage: scripts/bootstrap.sh packages NAME... | venv EXTRA | upstream" ;;
esac

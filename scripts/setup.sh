#!/bin/sh
# Set up .venv from a lock file: setup.sh requirements.lock STAMP. Called by make, which
# does so only if the stamp is older than the lock. PYTHON=... chooses the interpreter.
#
# Everything that goes wrong for newcomers is said in one sentence. Only wheels are
# installed, so no compiler is ever needed; only what the lock names by hash.

set -eu

lock=$1
stamp=$2
log=.venv/setup.log

fail() {
    printf 'certbound: %s\n' "$1" >&2
    exit 1
}

version_of() { # prints nothing for what is missing or, like some shims, broken
    "$1" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null || true
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() {
    seen=''
    for name in ${PYTHON:-python3.13 python3.12 python3.11 python3 python}; do
        version=$(version_of "$name")
        [ -n "$version" ] || continue
        if is_new_enough "$name"; then
            printf '%s\n' "$name"
            return
        fi
        seen="$seen${seen:+, }$name is $version"
    done
    fail "Python 3.11 or later is needed, but ${seen:-there is no python${PYTHON:+ at $PYTHON}}: install one, or name it with make up PYTHON=/path/to/python3.11"
}

make_venv() {
    python=$(find_python)
    version=$(version_of "$python")
    printf 'Setting up .venv with Python %s, once.\n' "$version"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "Python $version ($python) comes without its venv module: install it (on Debian and Ubuntu: apt install python${version%.*}-venv)"
    "$python" -m venv --clear .venv >/dev/null 2>&1 ||
        fail "Python $version ($python) cannot make a virtual environment in $(pwd)/.venv: see $python -m venv --clear .venv"
}

explain() { # what pip said, in one sentence
    package=$(sed -n 's/.*No matching distribution found for \([^ ]*\).*/\1/p' "$log" | tail -n 1)
    if grep -q 'DO NOT MATCH THE HASHES' "$log"; then
        fail "a downloaded package is not the one $lock names by hash: do not use it, and find out who put it there ($log)"
    elif grep -q 'No space left' "$log"; then
        fail "the disk is full"
    elif grep -q 'CERTIFICATE_VERIFY_FAILED' "$log"; then
        fail "pip does not trust the certificate of the package index: tell it whom to trust with PIP_CERT ($log)"
    elif grep -Eq 'from versions: none|NewConnectionError|Failed to establish|name resolution|unreachable|onnection refused|imed out|ProxyError|ConnectionReset' "$log"; then
        fail "pip cannot reach its package index, or finds nothing there: check the network, a proxy, or what pip config list says ($log)"
    elif [ -n "$package" ]; then
        fail "there is no wheel of $package for Python $(version_of .venv/bin/python) on $(uname -s) $(uname -m): use Python 3.11, 3.12 or 3.13 with make up PYTHON=..., or a package index that has it ($log)"
    fi
    fail "pip failed: $(grep -i error "$log" | tail -n 1) ($log)"
}

install() {
    .venv/bin/python -m pip install --disable-pip-version-check --no-input --retries 2 \
        "$@" >>"$log" 2>&1 || explain
}

{ [ -z "${PYTHON:-}" ] && [ -x .venv/bin/python ] && is_new_enough .venv/bin/python &&
    .venv/bin/python -m pip --version >/dev/null 2>&1; } || make_venv
: >"$log"
install --require-hashes --only-binary :all: -r "$lock"
install --no-deps --no-build-isolation -e .
touch "$stamp"

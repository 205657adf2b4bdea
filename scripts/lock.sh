#!/bin/sh
# Resolve what pyproject.toml asks for into the lock files: universal (every platform
# and Python from 3.11), by hash, naming no download host.

set -eu

command -v uv >/dev/null ||
    { echo 'certbound: make lock needs uv (pip install uv)' >&2; exit 1; }

lock() { # lock FILE WHO EXTRA...
    file=$1
    printf '# Made by `make lock` from pyproject.toml: everything `%s` installs, by hash.\n' \
        "$2" >"$file.new"
    shift 2
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url "$@" pyproject.toml >>"$file.new"
    mv "$file.new" "$file"
}

lock requirements.lock 'make up' --extra controller
lock requirements-dev.lock 'make test' --extra controller --extra dev
lock requirements-hosts.lock 'a host' --extra hosts

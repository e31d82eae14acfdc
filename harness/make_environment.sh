#!/bin/sh
# Makes the virtual environment of a checkout: make_environment.sh DIRECTORY, from its top folder.
#
# The stamp .complete is written by the Makefile afterwards; an environment without it is half-made
# and is made anew. Where Python has no ensurepip and nobody may install it, pip comes from Debian's
# own package, downloaded and unpacked into the user's cache.
set -eu
target=$1
python=${PYTHON:-python3}

if ! command -v "$python" >/dev/null 2>&1 ||
    ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "environment: splitbrain needs Python 3.11 or newer; name one with PYTHON=..." >&2
    exit 1
fi
if [ -e "$target" ] && [ ! -e "$target/.complete" ]; then
    echo "environment: $target is half-made; making it anew"
    rm -rf "$target"
fi
began=$(date +%s)
if [ ! -e "$target" ]; then
    echo "environment: making $target with $("$python" --version)"
    if "$python" -c 'import ensurepip' 2>/dev/null; then
        "$python" -m venv "$target"
    else
        "$python" -m venv --without-pip "$target"
    fi
fi
if [ ! -x "$target/bin/pip" ]; then
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/splitbrain/packages
    mkdir -p "$cache"
    echo "environment: Python has no ensurepip; taking pip from the package python3-pip-whl"
    (cd "$cache" && apt-get download python3-pip-whl >/dev/null 2>&1) || {
        echo "environment: cannot get it; install the package python3-venv" >&2
        exit 1
    }
    for package in "$cache"/python3-pip-whl_*.deb; do dpkg -x "$package" "$cache/unpacked"; done
    wheel=$(ls "$cache"/unpacked/usr/share/python-wheels/pip-*.whl | tail -n 1)
    "$target/bin/python" "$wheel/pip" install --quiet --no-index "$wheel"
fi
echo "environment: installing the dependencies that constraints.txt pins"
"$target/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt setuptools wheel
"$target/bin/python" -c '
import tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
extras = project["optional-dependencies"]
print("\n".join(project["dependencies"] + extras["dev"]))
' >"$target/wanted.txt"
"$target/bin/python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --requirement "$target/wanted.txt"
size=$(du -sh "$target" | cut -f1)
echo "environment: done in $(($(date +%s) - began)) s, $size"

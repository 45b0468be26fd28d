#!/bin/sh
# Makes a virtual environment in $1, on machines without python3-venv too.
set -eu
venv=$1
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    echo "voicecore needs Python 3.11 or newer; '$python' is not." >&2
    echo "Install it, or name it: make PYTHON=python3.12 ..." >&2
    exit 1
fi
if [ -x "$venv/bin/python" ] && "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    exit 0
fi
rm -rf "$venv"
if "$python" -m venv "$venv" 2>/dev/null; then
    exit 0
fi
# Debian and Ubuntu keep ensurepip in a package of its own.
rm -rf "$venv"
version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing python$version-venv ..."
    apt-get update -qq && apt-get install -y -qq "python$version-venv" >/dev/null
    exec "$python" -m venv "$venv"
fi
echo "Python's venv module is not installed. On Debian and Ubuntu:" >&2
echo "    sudo apt-get install python$version-venv" >&2
exit 1

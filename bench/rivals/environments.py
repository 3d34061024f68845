"""One private virtual environment an engine, so that no engine's libraries disturb another's."""

import json
import os
import pathlib
import subprocess
import sys

# What pip is asked for; versions found are recorded with every result.
PACKAGES = {
    "pytorch": ["torch>=2.4", "transformers>=4.44", "onnx>=1.16", "onnxscript", "ctranslate2>=4.4", "numpy"],
    "onnxruntime": ["onnxruntime>=1.19", "onnx>=1.16", "sympy", "numpy"],
    "openvino": ["openvino>=2024.4", "nncf>=2.13", "numpy<2.3"],
    "ctranslate2": ["ctranslate2>=4.4", "numpy"],
    "deepsparse": ["deepsparse==1.8.0", "sparsezoo==1.8.0", "numpy<1.24", "pydantic>=2.0,<2.8", "onnx<1.15"],
}


def cache_folder():
    own, xdg = os.environ.get("PENJING_CACHE"), os.environ.get("XDG_CACHE_HOME")
    root = pathlib.Path(own) if own else pathlib.Path(xdg or pathlib.Path.home() / ".cache") / "penjing"
    return root / "rivals"


def python_of(engine, given):
    return given.get(engine) or str(cache_folder() / "environments" / engine / "bin" / "python")


def is_ready(engine, given):
    return engine in given or (cache_folder() / "environments" / engine / "ready.json").exists()


def set_up(engine, say):
    """Makes or finishes the environment; a second call does nothing. Raises RuntimeError with pip's last lines."""
    folder = cache_folder() / "environments" / engine
    ready = folder / "ready.json"
    if ready.exists():
        return say(f"{engine}: ready")
    say(f"{engine}: installing {' '.join(PACKAGES[engine])}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    base = "/usr/bin/python3" if os.access("/usr/bin/python3", os.X_OK) else sys.executable
    run([base, "-m", "venv", str(folder)])
    command = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if engine == "pytorch" and os.environ.get("PENJING_TORCH_INDEX"):  # an index of builds without CUDA
        command += ["--extra-index-url", os.environ["PENJING_TORCH_INDEX"]]
    run(command + PACKAGES[engine])
    versions = run([str(folder / "bin" / "python"), "-m", "pip", "list", "--format", "json"])
    partial = ready.with_suffix(".tmp")
    partial.write_text(json.dumps({p["name"].lower(): p["version"] for p in json.loads(versions)}, indent=1))
    partial.rename(ready)


def hold(level):
    """The environment in which every engine sees no more of the CPU than `level` (hold_cpu.c); {} for None. Raises
    RuntimeError where this CPU cannot be held."""
    if level is None:
        return {}
    source = pathlib.Path(__file__).with_name("hold_cpu.c")
    library = cache_folder() / f"hold_cpu-{source.stat().st_mtime_ns}.so"
    if not library.exists():
        library.parent.mkdir(parents=True, exist_ok=True)
        partial = library.with_suffix(f".tmp{os.getpid()}")
        run(["cc", "-O2", "-shared", "-fPIC", "-Wl,-z,initfirst", "-o", str(partial), str(source)])
        partial.rename(library)
    environment = {"LD_PRELOAD": str(library), "PENJING_HOLD": level}
    done = subprocess.run(["true"], env=dict(os.environ, **environment), stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
    return environment


def run(command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:4])} ... failed:\n{done.stderr[-1500:]}")
    return done.stdout

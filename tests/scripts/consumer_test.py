"""The install tree as another program sees it: `cmake --install` to a scratch prefix, the project of examples/consumer
configured against it with find_package(penjing), built and, when MiniLM is there, run."""

import os
import pathlib
import subprocess
import sys
import tempfile

from program import SOURCE, cache


def run(*command, **options):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def main():
    build = pathlib.Path(os.environ["PENJING_BINARY_DIR"])
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        run("cmake", "--install", build, "--prefix", work / "prefix")
        program = work / "prefix" / "bin" / "penjing"
        print(run(program, "--version").strip())
        headers = [str(p.relative_to(work / "prefix" / "include")) for p in (work / "prefix").rglob("*.h")]
        if headers != ["penjing/penjing.h"]:
            sys.exit(f"installed headers {headers}; wanted penjing/penjing.h alone")
        cached = dict(e.split("=", 1) for e in (build / "CMakeCache.txt").read_text().splitlines() if "=" in e)
        sanitize = cached.get("PENJING_SANITIZE:STRING")
        flag = f"-fsanitize={sanitize}" if sanitize else "--coverage" if cached["PENJING_COVERAGE:BOOL"] == "ON" else ""
        extra = [f"-DCMAKE_CXX_FLAGS={flag}"] if flag else []
        run("cmake", "-G", "Ninja", "-S", SOURCE / "examples" / "consumer", "-B", work / "build",
            f"-DCMAKE_PREFIX_PATH={work / 'prefix'}", *extra)
        run("cmake", "--build", work / "build")
        model = cache() / "models" / "minilm"
        if not (model / "config.json").exists():
            print(f"built, not run: the model minilm is not in {model}")
            return
        said = run(work / "build" / "consumer", model, "A cat sits on the mat.", "A kitten is sitting on a rug.")
        print(said.strip())
        if not 0.4 < float(said.split()[-1]) < 0.9:
            sys.exit("the similarity of the two sentences should be between 0.4 and 0.9")


if __name__ == "__main__":
    main()

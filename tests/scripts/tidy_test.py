"""clang-tidy with the checks of .clang-tidy over every source of src/ that this build compiles, those on LibTorch's
precompiled headers excepted: clang reads them anew in each, some 20 s a file. PENJING_TIDY_ALL=1 checks those too."""

import concurrent.futures
import json
import os
import pathlib
import shutil
import subprocess
import sys

from program import SOURCE, skip


def check(build, path):
    # The build's compiler may know warnings that clang does not; with -Werror each would be a finding.
    done = subprocess.run(["clang-tidy", "-p", str(build), "--quiet", "--extra-arg=-Wno-unknown-warning-option",
                           str(path)], capture_output=True, text=True)
    return path, done.returncode, done.stdout


def main():
    if not shutil.which("clang-tidy"):
        skip("clang-tidy is not installed")
    build = pathlib.Path(os.environ["PENJING_BINARY_DIR"])
    entries = json.loads((build / "compile_commands.json").read_text())
    if any("-fsanitize" in e["command"] or "--coverage" in e["command"] for e in entries):
        skip("checked in the builds without instrumentation")
    everything = os.environ.get("PENJING_TIDY_ALL") == "1"
    paths = sorted({e["file"] for e in entries if e["file"].startswith(str(SOURCE / "src") + "/") and
                    (everything or "cmake_pch" not in e["command"])})
    if not paths:
        sys.exit(f"{build / 'compile_commands.json'} names no source of src/")
    problems = 0
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for path, status, said in pool.map(lambda p: check(build, p), paths):
            if status != 0 or "warning:" in said or "error:" in said:
                print(path, said, sep="\n")
                problems += 1
    print(f"{len(paths)} sources, {problems} with findings")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()

"""cmake/registered_tests.cmake on a tree of lists and tests alone: it passes as it is, and for each kind of list it stops,
naming the thing and the file that is wanted, when something is registered that has no test."""

import pathlib
import shutil
import subprocess
import sys
import tempfile

from program import SOURCE

PROJECT = """cmake_minimum_required(VERSION 3.25)
project(lists NONE)
set(PENJING_TRAIN ON)
list(APPEND CMAKE_MODULE_PATH ${PROJECT_SOURCE_DIR}/cmake)
include(registered_tests)
penjing_check_registered_tests()
"""
# list, line added to it, what the message must say
ADDED = [
    ("src/compress/methods.def", "PENJING_METHOD(prune_toy, compress)",
     ("method prune_toy", "tests/compress/prune_toy_test.cc")),
    ("src/compress/methods.def", "PENJING_METHOD(movement_toy, train)",
     ("method movement_toy", "tests/train/movement_toy_test.cc")),
    ("src/compress/methods.def", "  PENJING_METHOD( indented_toy , compress )  // as the preprocessor takes it",
     ("method indented_toy", "tests/compress/indented_toy_test.cc")),
    ("src/model/architectures.def", "PENJING_ARCHITECTURE(toy)", ("architecture toy", "tests/model/toy_test.cc")),
    ("src/cli/commands.def", "PENJING_COMMAND(clip_toys)", ("command clip-toys", "tests/cli")),
    ("src/train/objectives.def", "PENJING_OBJECTIVE(toys)", ("objective toys", "tests/train")),
    ("src/train/optimizers.def", "PENJING_OPTIMIZER(toy_descent)", ("optimizer toy-descent", "tests/train")),
    ("src/cli/train_commands.def", 'PENJING_TRAIN_COMMAND(teach_toys, "teach-toys", "teaches toys")',
     ("teach-toys", "tests/cli")),
    ("src/kernels/gemm_toy/kernels.def", "PENJING_KERNEL(ref)", ("kernel family gemm_toy", "tests/kernels")),
]


def configure(tree):
    done = subprocess.run(["cmake", "-G", "Ninja", "-S", tree, "-B", tree / "made"], capture_output=True, text=True)
    return done.returncode, " ".join((done.stdout + done.stderr).split())


def main():
    with tempfile.TemporaryDirectory() as work:
        tree = pathlib.Path(work) / "tree"
        lists = [p.relative_to(SOURCE) for p in (SOURCE / "src").rglob("*.def")]
        tests = [p.relative_to(SOURCE) for p in (SOURCE / "tests").rglob("*_test.cc")]
        for path in [*lists, *tests, pathlib.Path("cmake/registered_tests.cmake")]:
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(SOURCE / path, tree / path)
        (tree / "CMakeLists.txt").write_text(PROJECT)
        status, said = configure(tree)
        if status != 0:
            sys.exit(f"the lists as they are: {said}")
        for name, line, wanted in ADDED:
            path = tree / name
            before = path.read_text() if path.exists() else None
            path.parent.mkdir(exist_ok=True)
            path.write_text((before or "") + line + "\n")
            status, said = configure(tree)
            if status == 0 or "no test" not in said or not all(word in said for word in wanted):
                sys.exit(f"{line} in {name}: exit status {status}, wanted {wanted} in: {said}")
            if before is None:
                path.unlink()
            else:
                path.write_text(before)
        for path in tests:  # the file of something that is registered goes
            if str(path) in ("tests/compress/dequantize_test.cc", "tests/model/bert_test.cc"):
                (tree / path).rename(tree / "kept")
                status, said = configure(tree)
                if status == 0 or str(path) not in said:
                    sys.exit(f"without {path}: exit status {status}, {said}")
                (tree / "kept").rename(tree / path)
        if configure(tree)[0] != 0:
            sys.exit("the lists as they were no longer pass")
        print(f"{len(lists)} lists; {len(ADDED)} lines without a test and two tests gone were each found by name")


if __name__ == "__main__":
    main()

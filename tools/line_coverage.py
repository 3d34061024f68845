#!/usr/bin/env python3
"""Line coverage of src/ after a test run of the `coverage` preset, by gcov alone.

usage: line_coverage.py build/coverage [--worst 15]
Build with `cmake --preset coverage && cmake --build --preset coverage`, run ctest in build/coverage, then this. A line
of a header or template counts as covered when any translation unit ran it.
"""

import argparse
import collections
import concurrent.futures
import gzip
import json
import os
import pathlib
import subprocess
import tempfile


def read_counts(path):
    """{source: {line: count}} of one .gcda file."""
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["gcov", "--json-format", "--object-directory", str(path.parent), str(path)], cwd=work,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        counts = collections.defaultdict(dict)
        for report in pathlib.Path(work).glob("*.gcov.json.gz"):
            for file in json.loads(gzip.decompress(report.read_bytes()))["files"]:
                lines = counts[file["file"]]
                for line in file["lines"]:
                    number = line["line_number"]
                    lines[number] = max(lines.get(number, 0), line["count"])
        return counts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--worst", type=int, default=15)
    arguments = parser.parse_args()
    source = pathlib.Path(__file__).resolve().parents[1] / "src"
    merged = collections.defaultdict(dict)
    paths = [p.resolve() for p in arguments.build.rglob("*.gcda")]
    with concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        for counts in pool.map(read_counts, paths):
            for name, lines in counts.items():
                path = pathlib.Path(name)
                path = path if path.is_absolute() else arguments.build.resolve() / path
                if not path.resolve().is_relative_to(source):
                    continue
                target = merged[str(path.resolve().relative_to(source))]
                for number, count in lines.items():
                    target[number] = max(target.get(number, 0), count)
    total = sum(len(lines) for lines in merged.values())
    covered = sum(1 for lines in merged.values() for count in lines.values() if count)
    if not total:
        raise SystemExit(f"{arguments.build}: no coverage data; run the tests of the coverage preset first")
    rows = sorted((sum(1 for c in lines.values() if not c), len(lines), name) for name, lines in merged.items())
    for missed, lines, name in rows[::-1][: arguments.worst]:
        print(f"{100 * (lines - missed) / lines:6.1f} %  {missed:5} of {lines:5} lines not run  {name}")
    modules = collections.defaultdict(lambda: [0, 0])
    for missed, lines, name in rows:
        modules[name.split("/")[0]][0] += lines - missed
        modules[name.split("/")[0]][1] += lines
    for name, (ran, lines) in sorted(modules.items()):
        print(f"{100 * ran / lines:6.1f} %  {name}/ ({lines} lines)")
    print(f"{100 * covered / total:.1f} % of {total} lines of src/ in {len(merged)} files")


if __name__ == "__main__":
    main()

"""The form of the tree: clang-format over all C++, presets that CMake reads, scripts that bash reads, no machine's
paths and no registry's host in any tracked file, no large file."""

import json
import re
import shutil
import subprocess
import sys

from program import SOURCE

# Written in two parts, so that this file passes its own check.
FORBIDDEN = [a + b for a, b in (("/wo", "rk/"), ("/ro", "ot/"), ("pypi", ".org"), ("repo.maven", ".apache"),
                                ("repo1", ".maven"), ("files.python", "hosted"), ("deb.deb", "ian.org"),
                                ("registry.npm", "js"), ("/ho", "me/"))]
LARGEST = 400_000


def tracked():
    done = subprocess.run(["git", "-C", str(SOURCE), "ls-files", "-z"], capture_output=True, text=True)
    if done.returncode == 0 and done.stdout:
        return [SOURCE / name for name in done.stdout.split("\0") if name and (SOURCE / name).is_file()]
    return [p for p in SOURCE.rglob("*") if p.is_file() and "build" not in p.parts and ".git" not in p.parts]


def main():
    problems = []
    files = tracked()
    for path in files:
        name = str(path.relative_to(SOURCE))
        data = path.read_bytes()
        if len(data) > LARGEST:
            problems.append(f"{name}: {len(data)} bytes, wanted at most {LARGEST}")
        for word in FORBIDDEN:
            if word.encode() in data:
                problems.append(f"{name}: contains {word}")
        if path.suffix in (".cc", ".h", ".py", ".sh", ".md", ".txt", ".cmake", ".def", ".json"):
            if b"\r" in data:
                problems.append(f"{name}: carriage return")
            if re.search(rb"[ \t]+$", data, re.MULTILINE) and path.suffix != ".md" and "data" not in path.parts:
                problems.append(f"{name}: blanks at the end of a line")
        if path.suffix == ".sh" or name == ".ci/run":
            done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
            if done.returncode:
                problems.append(f"{name}: {done.stderr}")
            if path.stat().st_mode & 0o111 and b"set -euo pipefail" not in data and name != ".ci/run":
                problems.append(f"{name}: a script without set -euo pipefail")
    presets = json.loads((SOURCE / "CMakePresets.json").read_text())
    visible = {p["name"] for p in presets["configurePresets"] if not p.get("hidden")}
    wanted = {"release", "debug", "ci", "asan", "tsan", "coverage"}
    if not wanted <= visible or not wanted <= {p["name"] for p in presets["buildPresets"]}:
        problems.append(f"CMakePresets.json: presets {sorted(visible)}, wanted {sorted(wanted)}")
    sources = [str(p) for p in files if p.suffix in (".cc", ".h")]
    if shutil.which("clang-format"):
        done = subprocess.run(["clang-format", "--dry-run", "-Werror", *sources], capture_output=True, text=True)
        if done.returncode:
            names = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", done.stderr, re.MULTILINE)))
            problems += [f"clang-format would change {n}" for n in names] or [done.stderr[-2000:]]
    else:
        print("not checked: clang-format is not installed")
    print(f"{len(files)} files, {len(sources)} C++")
    if problems:
        sys.exit("\n".join(problems))


if __name__ == "__main__":
    main()

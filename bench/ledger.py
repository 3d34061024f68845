#!/usr/bin/env python3
"""The ledger of measured ratios, bench/RESULTS.md: one section an instruction set, rows only ever added.

usage: ledger.py check [LEDGER]    lists the rows that are stale: the kernels or the runtime have changed since
       ledger.py add LEDGER RESULT.json ...    adds the rows of compare_rivals.py --json"""

import json
import pathlib
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
COLUMNS = ["date", "commit", "CPU", "model", "row", "ours", "ms", "of peak", "rival", "ratio", "range", "starts", "threads", "command"]


def git(*command):
    done = subprocess.run(["git", "-C", str(REPOSITORY), *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip()


def last_change():
    """The commit that last changed what is measured."""
    return git("log", "-1", "--format=%h", "--", "src/kernels", "src/runtime")


def ledger_rows(result):
    """One row for each of ours and the rivals that matter: the closest, and ONNX Runtime's best FP32 and INT8."""
    commit = git("rev-parse", "--short", "HEAD")
    for row in result["rows"]:
        if row["engine"] != "penjing" or not row["ratios"]:
            continue
        chosen = [min(row["ratios"], key=lambda name: row["ratios"][name][0])]
        for precision in ("fp32", "int8"):
            forms = [name for name in row["ratios"] if name.startswith(f"onnxruntime {precision}")]
            if forms:
                chosen.append(min(forms, key=lambda name: row["ratios"][name][0]))
        for name in dict.fromkeys(chosen):
            ratio, low, high = row["ratios"][name]
            yield [result["date"], commit, result["machine"]["cpu"], pathlib.Path(result["model"]).name, row["shape"], row["form"],
                   f"{row['median_ms']:.3g}", f"{row['peak_share']:.0%}", name, f"{ratio:.2f}", f"{low:.2f} to {high:.2f}",
                   str(result["starts"]), str(result["threads"]), f"`{result['command']}`"]


def add_rows(path, result):
    path = pathlib.Path(path)
    text = path.read_text() if path.exists() else "# Results\n"
    heading = f"## {result['machine']['isa']}"
    lines = ["| " + " | ".join(row) + " |" for row in ledger_rows(result)]
    if heading + "\n" not in text:
        text += f"\n{heading}\n\n| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|\n"
    begin = text.index(heading + "\n") + len(heading) + 1
    end = text.find("\n## ", begin)
    end = len(text) if end < 0 else end
    section = text[begin:end].rstrip("\n") + "\n" + "".join(line + "\n" for line in lines)
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(text[:begin] + section + text[end:])
    partial.rename(path)


def stale_rows(path):
    """Rows whose commit does not contain the last change of what they measured."""
    change = last_change()
    known = {}
    for line in pathlib.Path(path).read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) != len(COLUMNS) or cells[0] in ("date", "---"):
            continue
        commit = cells[1]
        if commit not in known:
            known[commit] = subprocess.run(["git", "-C", str(REPOSITORY), "merge-base", "--is-ancestor", change, commit],
                                           stderr=subprocess.DEVNULL).returncode == 0
        if not known[commit]:
            yield line


def main():
    if len(sys.argv) >= 4 and sys.argv[1] == "add":
        for name in sys.argv[3:]:
            for result in json.loads(pathlib.Path(name).read_text()):
                add_rows(sys.argv[2], result)
    elif len(sys.argv) in (2, 3) and sys.argv[1] == "check":
        stale = list(stale_rows(sys.argv[2] if len(sys.argv) == 3 else REPOSITORY / "bench" / "RESULTS.md"))
        print("\n".join(stale) + ("\n" if stale else "") + f"{len(stale)} stale rows")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

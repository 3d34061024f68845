#!/usr/bin/env python3
"""The ledger of measured ratios, bench/RESULTS.md: one section an instruction set, rows only ever added.

usage: ledger.py check [LEDGER]    lists the rows that are stale: what their instruction set runs has changed since
       ledger.py add LEDGER RESULT.json ...    adds the rows of compare_rivals.py --json
       ledger.py tables PAGE ...   writes the newest rows between <!-- ledger: SECTION [on CPU] [of MODEL,MODEL]
                                   [rows ROW,ROW] [ours FORM,FORM] --> and <!-- end --> in each page; stale rows are marked there, and left out of README.md.
                                   CPU is a word of its name; without one, CPUs are not told apart"""

import functools
import json
import pathlib
import re
import subprocess
import sys

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
LEDGER = REPOSITORY / "bench" / "RESULTS.md"
COLUMNS = ["date", "commit", "CPU", "model", "row", "ours", "ms", "of peak", "rival", "ratio", "range", "starts", "threads", "command"]

# Files of the kernels that no forward runs on an instruction set: others' code, and the plain reference.
AVX2, AVX512 = ["*/avx2*", "*256*", "simd/avx2.h"], ["*/avx512*", "*512*", "simd/avx512.h"]
TRAINING = ["train_*", "scalar_rows.h", "simd/rows*"]
NOT_RUN = {
    "amx": AVX2 + ["*/avx_vnni*"],
    "avx512_bf16": AVX2 + ["*/avx_vnni*", "*/amx*"],
    "avx512_vnni": AVX2 + ["*/avx_vnni*", "*/amx*", "*/avx512_bf16*", "gemm_bf16/*"],
    "avx_vnni": AVX512 + ["*/amx*", "gemm_bf16/*"],
    "avx2": AVX512 + ["*/amx*", "*/avx_vnni*", "gemm_bf16/*"],
}
NAMES = {"minilm": "MiniLM", "bert-base": "BERT-base", "minilm-80": "MiniLM, 80 % zeros in 4x1",
         "minilm-90": "MiniLM, 90 % zeros in 4x1"}


def git(*command):
    done = subprocess.run(["git", "-C", str(REPOSITORY), *command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return done.stdout.strip()


def measured_paths(isa=""):
    """What a row of that section measures, as git's path arguments."""
    return ["src/kernels", "src/runtime"] + [f":(exclude)src/kernels/{name}"
                                             for name in NOT_RUN.get(isa, []) + TRAINING + ["*/ref.cc"]]


def last_change(isa=""):
    """The commit that last touched it."""
    return git("log", "-1", "--format=%h", "--", *measured_paths(isa))


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


def replace_file(path, text):
    partial = path.with_name(path.name + ".tmp")
    partial.write_text(text)
    partial.rename(path)


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
    replace_file(path, text[:begin] + section + text[end:])


def read_rows(path):
    """(section, {column: cell}, line) of every row of a ratio."""
    section = ""
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith("## "):
            section = line[3:]
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == len(COLUMNS) and cells[0] not in ("date", "---"):
            yield section, dict(zip(COLUMNS, cells)), line


@functools.cache
def is_stale(section, commit):
    """Whether what a row measured is other code now than at its commit (which must be one of this history)."""
    if subprocess.run(["git", "-C", str(REPOSITORY), "merge-base", "--is-ancestor", commit, "HEAD"],
                      stderr=subprocess.DEVNULL).returncode != 0:
        return True
    same = ["git", "-C", str(REPOSITORY), "diff", "--quiet", commit, "HEAD", "--", *measured_paths(section)]
    return subprocess.run(same, stderr=subprocess.DEVNULL).returncode != 0


def stale_rows(path):
    return [line for section, row, line in read_rows(path) if is_stale(section, row["commit"])]


def table(path, section, cpu="", models=(), shapes=(), forms=(), with_stale=True):
    """The newest rows of a section as a table for readers."""
    measured = {}  # (model, row, ours) -> its rows, oldest first
    for there, row, _ in read_rows(path):
        wanted = (cpu in row["CPU"], not models or row["model"] in models, not shapes or row["row"] in shapes,
                  not forms or row["ours"] in forms)
        if there == section and all(wanted):
            measured.setdefault((row["model"], row["row"], row["ours"]), []).append(row)
    lines, seen = ["| model | row | ours | ms | of peak | closest of all rivals | ONNX Runtime, FP32 | ONNX Runtime, INT8 |",
                   "|---|---|---|---|---|---|---|---|"], set()
    for (model, shape, ours), rows in measured.items():
        last = rows[-1]
        stale = is_stale(section, last["commit"])
        if stale and not with_stale:
            continue
        run = [r for r in rows if all(r[c] == last[c] for c in ("date", "commit", "command"))]
        closest = min(run, key=lambda r: float(r["ratio"]))
        beside = {r["rival"]: f"{r['ratio']} ({r['range']})" for r in run}
        runtime = [next((text for name, text in beside.items() if name.startswith(f"onnxruntime {precision}")), "–")
                   for precision in ("fp32", "int8")]
        seen.add((last["CPU"], last["date"]))
        lines.append("| " + " | ".join([NAMES.get(model, model), shape, ours.upper() + (" (stale)" if stale else ""), last["ms"],
                                        last["of peak"], f"**{closest['ratio']}** ({closest['range']}) {closest['rival']}",
                                        *runtime]) + " |")
    if len(lines) == 2:
        return f"`{section}`: no row that is not stale."
    where = "; ".join(f"{name}, {date}" for name, date in sorted(seen))
    threads = max(rows[-1]["threads"] for rows in measured.values())
    return "\n".join([f"`{section}`: {where}, {threads} threads.", "", *lines])


def write_tables(page):
    text = page.read_text()

    def fill(match):
        words = match.group(2).split()
        options = dict(zip(words[1::2], words[2::2]))
        lists = (options[k].split(",") if k in options else () for k in ("of", "rows", "ours"))
        rows = table(LEDGER, words[0], options.get("on", ""), *lists, with_stale=page.name != "README.md")
        return match.group(1) + "\n" + rows + "\n" + match.group(3)

    replace_file(page, re.sub(r"(<!-- ledger: ([^>]*?) -->)\n.*?(<!-- end -->)", fill, text, flags=re.S))


def main():
    if len(sys.argv) >= 4 and sys.argv[1] == "add":
        for name in sys.argv[3:]:
            for result in json.loads(pathlib.Path(name).read_text()):
                add_rows(sys.argv[2], result)
    elif len(sys.argv) in (2, 3) and sys.argv[1] == "check":
        stale = stale_rows(sys.argv[2] if len(sys.argv) == 3 else LEDGER)
        print("\n".join(stale) + ("\n" if stale else "") + f"{len(stale)} stale rows")
    elif len(sys.argv) >= 3 and sys.argv[1] == "tables":
        for name in sys.argv[2:]:
            write_tables(pathlib.Path(name))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

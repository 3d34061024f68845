"""bench/compare_rivals.py with an engine that needs nothing: what agrees counts, what does not agree, fails, dies or
never answers is named and does not count; the ledger keeps its other sections and knows stale rows."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from kill_test import write_model
from program import SOURCE, program

sys.path[:0] = [str(SOURCE / "bench"), str(SOURCE / "bench" / "rivals")]
import environments  # noqa: E402
import ledger as module  # noqa: E402


def compare(work, *more):
    command = [sys.executable, str(SOURCE / "bench" / "compare_rivals.py"), str(work / "model"), "--penjing", str(program()),
               "--engines", "fake", "--python", f"fake={sys.executable}", "--data", str(work / "texts.txt"), "--shapes",
               "2x8,4xvar", "--rounds", "2", "--seconds", "0.01", "--json", str(work / "out.json"), *more]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.returncode}\n{done.stderr}")
    return json.loads((work / "out.json").read_text())[0], done.stdout


def want(condition, what):
    if not condition:
        sys.exit(f"wanted: {what}")


def test_counting(work):
    result, text = compare(work, "--starts", "2", "--forms", "right,wrong,raises,missing,int8-far", "--ours", f"again={work / 'model'}", "--ledger", str(work / "RESULTS.md"))
    rows = {(r["shape"], r["engine"], r["form"], r["way"]): r for r in result["rows"]}
    for shape, ways in (("2x8", [""]), ("4xvar", ["", "sorted"])):
        for way in ways:
            want((shape, "fake", "right", way) in rows, f"fake right {way} counts")
            want((shape, "fake", "int8-far", way) in rows, "a cosine of 0.95 counts for INT8")
            for form in ("wrong", "raises"):
                want((shape, "fake", form, way) not in rows, f"fake {form} does not count")
                want(" ".join(filter(None, ("fake", form, way))) in result["refused"][shape], f"fake {form} is named")
        ours = rows[shape, "penjing", "fp32", ""]
        for name in ("fp32", "again"):
            want(set(rows[shape, "penjing", name, ""]["ratios"]) >= {f"fake right{' sorted' if len(ways) > 1 else ''}"},
                 "a ratio to what counts")
        median, low, high = ours["ratios"]["fake right"]
        want(low <= median <= high and median > 0, "a ratio within its range")
        # The fake takes 2 ms and is never faster.
        want(rows[shape, "fake", "right", ""]["best_ms"] >= 2, "a time that was measured")
        want(0 < ours["peak_share"] < 1.5, "a share of the peak")
        want(ours["cosine"] > 1 - 1e-9, "Penjing agrees with itself")
    want("no such form here" in result["refused"]["all"]["fake missing"], "why a form is missing")
    want(0.94 < rows["2x8", "fake", "int8-far", ""]["cosine"] < 0.96, "the cosine that the fake has")
    want("not counted, 2x8: fake wrong: its output differs" in text, "the refusal in words")
    want(result["peak_memory_bytes"]["fake"] > 0, "peak memory")


def test_failures(work):
    for form, why in (("dies", "ended with status 3"), ("sleeps", "no answer in 2 s")):
        result, _ = compare(work, "--starts", "1", "--forms", form, "--timeout", "2")
        want(all(r["engine"] == "penjing" for r in result["rows"]), f"{form} does not count")
        want(why in str(result["refused"]["2x8"]), f"{form}: {why}; there is {result['refused']}")


def test_ledger(work):
    ledger = work / "RESULTS.md"
    text = ledger.read_text()
    want(text.startswith("# Results\n\n## ") and text.count("\n| 20") == 4, f"two rows each of two of ours:\n{text}")
    ledger.write_text(text + "\n## Other\n\nkept\n")
    result = json.loads((work / "out.json").read_text())
    result[0]["rows"] = [{"engine": "penjing", "form": "int8", "shape": "1x1", "median_ms": 1, "peak_share": 0.5,
                          "ratios": {"x fp32": [2, 1, 3]}}]
    module.add_rows(ledger, result[0])
    after = ledger.read_text()
    want(after.count("\n| 20") == 5 and after.endswith("\n## Other\n\nkept\n"), "other sections stay")
    want(len(list(module.stale_rows(ledger))) == 0 or not module.last_change(), "rows of today are not stale")
    ledger.write_text(after.replace(f"| {module.git('rev-parse', '--short', 'HEAD')} |", "| 0000000 |"))
    if module.last_change():
        want(len(list(module.stale_rows(ledger))) == 5, "rows of an unknown commit are stale")


def test_tables(work):
    head = module.git("rev-parse", "--short", "HEAD")
    row = ["2026-01-01", head, "A CPU", "minilm", "1x16", "int8", "0.5", "40%", "x int8", "2.00", "1.00 to 3.00", "3", "2", "`c`"]
    other = row[:8] + ["onnxruntime fp32", "4.00", "3.00 to 5.00"] + row[11:]
    old = row[:1] + ["0000000"] + row[2:5] + ["fp32"] + row[6:]
    lines = ["| " + " | ".join(cells) + " |" for cells in (row, other, old)]
    module.LEDGER = work / "TABLES.md"
    module.LEDGER.write_text("# Results\n\n## amx\n\n" + "\n".join(lines) + "\n")
    for name, stale_ones in (("page.md", 1), ("README.md", 0)):
        page = work / name
        page.write_text("before\n<!-- ledger: amx of minilm rows 1x16 -->\nold text\n<!-- end -->\nafter\n")
        module.write_tables(page)
        text = page.read_text()
        want(text.startswith("before\n<!-- ledger: amx of minilm") and text.endswith("<!-- end -->\nafter\n"), "the rest stays")
        want("old text" not in text and "| MiniLM | 1x16 | INT8 | 0.5 | 40% | **2.00** (1.00 to 3.00) x int8 | 4.00 (3.00 to 5.00) | – |" in text, f"a row:\n{text}")
        if module.git("rev-parse", "HEAD"):
            want(text.count("(stale)") == stale_ones, f"stale rows are marked, and not in README:\n{text}")


def test_hold(work):
    """A process that is held sees no more of the CPU than that."""
    environments.cache_folder = lambda: work / "cache"
    seen = lambda env: json.loads(subprocess.run([str(program()), "doctor", "--json"], env=dict(os.environ, **env),
                                                 capture_output=True, text=True, check=True).stdout)["isa_limit"]
    order = ["ref", "avx2", "avx_vnni", "avx512", "avx512_vnni", "avx512_bf16", "amx"]
    free = seen({})
    for level in ("avx2", "avx_vnni", "avx512_bf16"):
        try:
            held = environments.hold(level)
        except (RuntimeError, OSError) as error:
            return print(f"not held here: {error}")
        found = seen(held)
        want(order.index(found) <= order.index(level) and (order.index(free) < order.index(level) or level == "avx_vnni" or found == level),
             f"held to {level}, {found} is seen; free: {free}")


def main():
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        write_model(work / "model")
        (work / "texts.txt").write_text("the cat sat on a mat\na big red dog ran in the old house\n" * 30)
        test_counting(work)
        test_ledger(work)
        test_failures(work)
        test_tables(work)
        test_hold(work)


if __name__ == "__main__":
    main()

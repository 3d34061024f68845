"""The last table of quickstart.sh: quickstart_table.py MODEL SMALL OUT, from OUT/verify.json, bench.json, pair.jsonl."""

import json
import pathlib
import sys


def megabytes(folder):
    return sum(p.stat().st_size for p in folder.glob("*.safetensors")) / 1e6


def similarity(path):
    a, b = ([float(x) for x in json.loads(line)["embedding"]] for line in path.read_text().splitlines())
    return sum(x * y for x, y in zip(a, b)) / (sum(x * x for x in a) * sum(y * y for y in b)) ** 0.5


def best(bench, shape, model):
    rows = [r for r in bench["rows"] if r["shape"] == shape and not r["with_tokenizing"]]
    rows = [r for r in rows if pathlib.Path(r["model"]).name == model]
    return f"{rows[0]['median_ms']:.2f} ms"


def main():
    model, small, out = map(pathlib.Path, sys.argv[1:])
    verify, bench = (json.loads((out / name).read_text()) for name in ("verify.json", "bench.json"))
    before, after = megabytes(model), megabytes(small)
    rows = [("", "before", "after", "verdict"),
            ("weights", f"{before:.1f} MB", f"{after:.1f} MB", f"{before / after:.2f}x smaller"),
            ("cosine to the original, mean", "1", f"{verify['cosine_mean']:.4f}", f"{verify['texts']} texts"),
            ("cosine to the original, worst", "1", f"{verify['cosine_min']:.4f}", f"\"{verify['worst_text'][:48]}\"")]
    rows += [(f"latency {v['shape']}", best(bench, v["shape"], model.name), best(bench, v["shape"], small.name),
              v["verdict"]) for v in bench["verdicts"]]
    rows += [("start to first result", *(f"{c['best_ms']:.0f} ms" for name in (model.name, small.name)
                                         for c in bench["cold_start"] if pathlib.Path(c["model"]).name == name), "")]
    machine = bench["machine"]
    print(f"Similarity of the two sentences: {similarity(out / 'pair.jsonl'):.3f}")
    print(f"Machine: {machine['cpu']}, {machine['threads']} threads, {machine['isa']}\n")
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    for number, row in enumerate(rows):
        print("  ".join([row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2]), row[3]]).rstrip())
        if number == 0:
            print("  ".join("-" * w for w in widths))
    print(f"\nMade: {small} (the model), {out / 'verify.json'}, {out / 'bench.json'}, {out / 'pair.jsonl'}")


if __name__ == "__main__":
    main()

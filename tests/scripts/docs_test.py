"""Runs every command of one page: each ```sh block, in order, in a scratch copy of the tree's surface.

usage: docs_test.py PAGE
A line `<!-- not run: REASON -->` before a block says why it cannot be run here, and is listed. `<!-- needs: MODEL -->`
runs it when that model is in the cache. The scratch folder has the tree's files as links, build/release (this build),
`path/to/your-model` (MiniLM) and `your-texts.txt`; `penjing` is on the PATH. Also checked: links between pages lead
somewhere."""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

from program import SKIPPED, SOURCE, cache, program

FENCE = re.compile(r"(?:^<!-- (?P<kind>not run|needs): (?P<reason>[^\n]*?) -->\n+)?^```sh\n(?P<code>.*?)^```$",
                   re.MULTILINE | re.DOTALL)
TRAINER = re.compile(r"penjing (finetune|pretrain|distill|theseus|mutual|byot|multitask)\b")
TEXTS = ["A cat sits on the mat.", "A kitten is sitting on a rug.", "The stock market fell on Monday.",
         "He plays the piano every evening.", "The recipe calls for two eggs and a cup of flour."]


def check_links(page, text):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
            sys.exit(f"{page}: link to {target}, which is not there")


def make_scratch(folder):
    for entry in SOURCE.iterdir():
        if entry.name not in (".git", "build"):
            (folder / entry.name).symlink_to(entry)
    (folder / "build").mkdir()
    (folder / "build" / "release").symlink_to(program().parent)
    (folder / "path" / "to").mkdir(parents=True)
    (folder / "path" / "to" / "your-model").symlink_to(cache() / "models" / "minilm")
    (folder / "your-texts.txt").write_text("".join(t + "\n" for t in TEXTS))


def main():
    page = SOURCE / sys.argv[1]
    text = page.read_text(encoding="utf-8")
    check_links(page, text)
    blocks = list(FENCE.finditer(text))
    if len(blocks) != len(re.findall(r"^```sh$", text, re.MULTILINE)):
        sys.exit(f"{page}: a ```sh block is not closed")
    if re.search(r"^```(bash|shell|console)$", text, re.MULTILINE):
        sys.exit(f"{page}: write ```sh, so that the commands are run")
    if re.search(r"^(?:[A-Z]+_OUTPUT|TODO.*)$", text, re.MULTILINE):
        sys.exit(f"{page}: a place for an output was not filled in")
    ran = missing = 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        make_scratch(scratch)
        environment = dict(os.environ, PATH=f"{scratch / 'build' / 'release'}:{os.environ['PATH']}")
        for number, block in enumerate(blocks, 1):
            where = f"{page.name}, block {number}"
            needs = block["reason"] if block["kind"] == "needs" else "minilm"
            if block["kind"] == "not run":
                print(f"not run: {where}: {block['reason']}")
                continue
            if TRAINER.search(block["code"]) and not program().with_name("penjing-train").exists():
                print(f"not run: {where}: this build has no trainer")
                missing += 1
                continue
            if "penjing" in block["code"] and not (cache() / "models" / needs).is_dir():
                print(f"not run: {where}: the model {needs} is not in the cache")
                missing += 1
                continue
            # Pages write the default place of the cache; this machine's may be elsewhere.
            code = block["code"].replace("~/.cache/penjing", str(cache()))
            done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], cwd=scratch, env=environment,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  text=True, timeout=600)
            if done.returncode != 0:
                sys.exit(f"{where}: exit status {done.returncode}\n{block['code']}\n{done.stdout[-4000:]}")
            print(f"ran: {where}: {len(block['code'].splitlines())} lines")
            ran += 1
    if missing and not ran:
        print(f"SKIPPED: no block of {page.name} could be run")
        sys.exit(SKIPPED)


if __name__ == "__main__":
    main()

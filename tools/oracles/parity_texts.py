"""The texts of the parity check: chosen without randomness, so that every run and machine takes the same ones.

choose_texts(tokenizer, data, count) -> count one-line texts of 3 to 512 tokens (special tokens included; the
shortest are one word), lengths spread evenly over their logarithm. One in three is a sentence of the STS benchmark as
it stands; the others are cut from paragraphs of Wikipedia to the length wanted. `data` is a folder with
glue-stsb/sts-test.csv and wikipedia-2015/enwiki-2015-AA.txt.xz.
"""

import lzma
import math


def read_sts_sentences(data):
    rows = [line.rstrip("\n").split("\t") for line in open(data / "glue-stsb" / "sts-test.csv", encoding="utf-8")]
    return [sentence for row in rows for sentence in row[5:7]]


def read_passages(data, count, min_words):
    """Runs of consecutive paragraphs of at least `min_words` words, joined by blanks."""
    passages, words = [], []
    with lzma.open(data / "wikipedia-2015" / "enwiki-2015-AA.txt.xz", "rt", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith("= ") or not line.strip():
                words = []
                continue
            words += line.split()
            if len(words) >= min_words:
                passages.append(" ".join(words))
                words = []
                if len(passages) == count:
                    break
    return passages


def cut_to(tokenizer, text, tokens):
    """The longest whole-word beginning of `text` with at most `tokens` tokens, at least one word."""
    words = text.split(" ")
    low, high = 1, len(words)
    while low < high:
        middle = (low + high + 1) // 2
        if len(tokenizer(" ".join(words[:middle]))["input_ids"]) <= tokens:
            low = middle
        else:
            high = middle - 1
    return " ".join(words[:low])


def choose_texts(tokenizer, data, count):
    sentences = read_sts_sentences(data)
    cut = count - count // 3
    passages = read_passages(data, cut, 520)
    if len(passages) < cut:
        raise SystemExit(f"only {len(passages)} long passages in {data}, wanted {cut}")
    texts = []
    for i in range(cut):
        tokens = round(math.exp(math.log(3) + (math.log(512) - math.log(3)) * i / max(1, cut - 1)))
        texts.append(cut_to(tokenizer, passages[i], tokens))
    texts += [sentences[(i * 37) % len(sentences)] for i in range(count // 3)]
    return texts

#!/usr/bin/env python3
"""What SQuAD's evaluation scripts make of strings chosen to break a copy of them: prints tests/data/answers_reference.json.
The rules are written here from the scripts' definition (Rajpurkar et al. 2016, 2018), with Python's own str and re, which
are what the scripts use. "blocks": for each 4096 code points, a SHA-256 over the normal forms of each in three contexts;
"unassigned": ranges that they leave out.
usage: answers_reference.py > tests/data/answers_reference.json        needs: the standard library"""
import collections
import hashlib
import json
import random
import re
import string
import unicodedata


def normalize(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def f1_of(predicted, right, both_empty):
    p, r = normalize(predicted).split(), normalize(right).split()
    if both_empty is not None and (not p or not r):
        return both_empty if p == r else 0.0
    same = sum((collections.Counter(p) & collections.Counter(r)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(p), same / len(r)
    return 2 * precision * recall / (precision + recall)


def squad1(predicted, right):
    return (max(float(normalize(predicted) == normalize(r)) for r in right),
            max(f1_of(predicted, r, None) for r in right))


def squad2(predicted, right):
    right = [r for r in right if normalize(r)] or [""]
    return (max(float(normalize(predicted) == normalize(r)) for r in right),
            max(f1_of(predicted, r, 1.0) for r in right))


WORDS = ["the", "a", "an", "The", "AN", "theatre", "cat", "Cat", "don't", "U.S.", "1,000", "3.5%", "naïve", "ÉTÉ",
         "ΟΔΟΣ", "ΣΑΣ'", "Σ", "aΣ", "İstanbul", "ǅ", "ﬁ", "猫", "カタ", "ค", "a\u0301", "the\u200d", "e\u0300", "١٢", "Ⅷ",
         "²", "½", "①", "_", "a_b", "the_", "–", "—", "“the”", "«a»", "€", "the€5", "😀", "the😀a", "™", "·", "\u00b7an",
         "\u00ad", "ʰ", "ͅ", "ª", "ⓐ", "ß", "ẞ", "Ω", "K", "ﬃ", "!", "'", "\"", "#", "\\", "[a]", "(the)", "a-b", "a/an"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u0085", "\x1c", "\x1f", "\u200b", "\u2028", "\v", "", ""]
ANY = [c for c in range(0x20, 0x3000) if chr(c).isprintable()]


def some_text(rng, pieces):
    text = ""
    for _ in range(rng.randrange(pieces + 1)):
        text += rng.choice(WORDS) if rng.random() < 0.8 else chr(rng.choice(ANY))
        text += rng.choice(SPACES)
    return text


def unassigned():
    """[first, last] of code points that this Python's Unicode does not know: newer tables may give them a lower case."""
    ranges = []
    for c in range(0x110000):
        if unicodedata.category(chr(c)) == "Cn":
            if ranges and ranges[-1][1] == c - 1:
                ranges[-1][1] = c
            else:
                ranges.append([c, c])
    return ranges


def blocks():
    skipped = {c for first, last in unassigned() for c in range(first, last + 1)}
    hashes = []
    for begin in range(0, 0x110000, 4096):
        digest = hashlib.sha256()
        for c in range(begin, begin + 4096):
            if 0xD800 <= c < 0xE000 or c in skipped:
                continue
            x = chr(c)
            for text in (f"the{x}a b{x}an", f"{x} \u0391{x}\u03a3{x}", f"{x}\u03a3 \u0391\u03a3{x}\u0391"):
                digest.update(normalize(text).encode() + b"\n")
        hashes.append(digest.hexdigest()[:16])
    return hashes


def main():
    rng = random.Random(20160616)
    cases = []
    for i in range(250):
        right = [some_text(rng, 4) for _ in range(rng.randrange(1, 4))]
        predicted = rng.choice(right) if i % 4 == 0 else some_text(rng, 4)
        if i % 4 > 1:  # words of a right answer in another order and dress, some lost, some new
            words = [w for w in rng.choice(right).split() + some_text(rng, 2).split() if rng.random() < 0.8]
            rng.shuffle(words)
            predicted = rng.choice([" the ", "\u2003", " a\t"]).join(words)
        if i % 3 == 0:
            predicted = predicted.upper()
        e1, f1 = squad1(predicted, right)
        e2, f2 = squad2(predicted, right)
        cases.append({"predicted": predicted, "right": right, "normal": normalize(predicted), "exact": [e1, e2], "f1": [f1, f2]})
    print(json.dumps({"cases": cases, "unassigned": unassigned(), "blocks": blocks()}, ensure_ascii=False, separators=(",", ":")))


if __name__ == "__main__":
    main()

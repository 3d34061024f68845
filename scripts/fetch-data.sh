#!/usr/bin/env bash
# Makes $PENJING_CACHE/data/glosses.txt (default ~/.cache/penjing/data): 117,659 short real English texts, the
# definitions of WordNet 3.0 (Debian package wordnet-base, free licence), one a line. A definition is the text of a
# synset after `|` up to the first `;`, so that examples are dropped; order: nouns, verbs, adjectives, adverbs, as in
# the files. The same file on every machine: its sha256 is checked.
#
#   scripts/fetch-data.sh
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 0
fi
(($# == 0)) || stop "fetch-data.sh takes no argument"

wanted_sum=3aba1ae19be1f88010779dcb2f0ad22ff8890e4dafcc3ee745cf6c1f0ae4571d
target=$(penjing_cache)/data/glosses.txt
if [[ -f $target && "$(sha256sum "$target" | cut -d' ' -f1)" == "$wanted_sum" ]]; then
  say "glosses: there, checksum right: $target"
  exit 0
fi
[[ -f /usr/share/wordnet/data.noun ]] || install_packages wordnet-base
mkdir -p "$(dirname "$target")"
partial=$target.partial-$$
trap 'rm -f "$partial"' EXIT
# Lines of licence begin with two blanks.
for part in noun verb adj adv; do
  LC_ALL=C awk '!/^  / { at = index($0, "| "); if (!at) next
    text = substr($0, at + 2); sub(/;.*/, "", text); gsub(/^[ \t]+|[ \t\r]+$/, "", text)
    if (text != "") print text }' "/usr/share/wordnet/data.$part"
done >"$partial"
found=$(sha256sum "$partial" | cut -d' ' -f1)
[[ $found == "$wanted_sum" ]] ||
  stop "glosses.txt has sha256 $found, wanted $wanted_sum: another version of wordnet-base than 3.0?"
mv "$partial" "$target"
say "glosses: $(wc -l <"$target") texts, sha256 $wanted_sum: $target"

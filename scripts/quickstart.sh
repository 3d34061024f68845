#!/usr/bin/env bash
# From a fresh clone to a smaller, faster, measured model: installs what is missing, builds, fetches
# all-MiniLM-L6-v2, makes it INT8 by a recipe (recipes/minilm-int8.json), checks it against the original, times both, uses it.
#
#   scripts/quickstart.sh [--out FOLDER]       default: build/quickstart
#
# Texts for the check: the STS benchmark where $PENJING_DATA/glue-stsb is (default ../shared/data), else WordNet's
# definitions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh
source scripts/build.sh
out=build/quickstart
case ${1:-} in
  -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 0 ;;
  --out) out=${2:?--out wants a folder} ;;
  '') ;;
  *) stop "unknown argument '$1'; see scripts/quickstart.sh --help" ;;
esac

started=$SECONDS
step() { printf '\n=== %s (after %s s)\n' "$*" $((SECONDS - started)); }
show() {
  local word line='$'
  for word in "$@"; do
    [[ $word == *' '* ]] && word="\"$word\""
    line+=" $word"
  done
  say "$line"
  "$@"
}

say "Penjing quickstart. It will:
  - install Debian packages where missing (the compiler, CMake, five libraries, WordNet): on a bare Debian 12
    106 MB to download and 430 MB on disk;
  - build the program in build/release: 2 to 5 minutes on two cores;
  - download all-MiniLM-L6-v2 (84 MB) into $(penjing_cache)/models;
  - write an INT8 copy of it (24 MB) and the measurements into $out: about 1 minute."
install_packages "${BUILD_PACKAGES[@]}" python3 curl ca-certificates python3-pip wordnet-base

step "Build"
build_preset release -DPENJING_TESTS=OFF
penjing=build/release/penjing
"$penjing" --version

step "Model and texts"
scripts/fetch-models.sh minilm
model=$(penjing_cache)/models/minilm
run=$out/run
small=$run/model
mkdir -p "$out"
sts=${PENJING_DATA:-../shared/data}/glue-stsb/sts-test.csv
if [[ -f $sts ]]; then
  cut -f6,7 "$sts" | tr '\t' '\n' >"$out/texts.txt"
  say "Texts: $(wc -l <"$out/texts.txt") sentences of the STS benchmark, $sts"
else
  scripts/fetch-data.sh
  awk 'NR % 53 == 7' "$(penjing_cache)/data/glosses.txt" >"$out/texts.txt"
  say "Texts: $(wc -l <"$out/texts.txt") definitions of WordNet, every 53rd of $(penjing_cache)/data/glosses.txt"
fi

step "What is in the model"
show "$penjing" inspect "$model"

step "Make it INT8, by a recipe"
show "$penjing" run recipes/minilm-int8.json --set "model=$model" --set "data=$out/texts.txt" --out "$run" --quiet

step "Check it against the original"
show "$penjing" verify "$small" --reference "$model" --data "$out/texts.txt" --quiet
"$penjing" verify "$small" --reference "$model" --data "$out/texts.txt" --json --quiet >"$out/verify.json"

step "Time both, interleaved"
say "\$ $penjing bench $small --against $model --shapes 1x16,1x128,32xvar --threads $(nproc)"
"$penjing" bench "$small" --against "$model" --shapes 1x16,1x128,32xvar --threads "$(nproc)" --json --quiet \
  >"$out/bench.json"

step "Use it"
show "$penjing" embed "$small" "A cat sits on the mat." "A kitten is sitting on a rug." --output "$out/pair.jsonl"
say "Two vectors of 384 numbers, in $out/pair.jsonl"

step "Result"
python3 scripts/quickstart_table.py "$model" "$small" "$out"
say "
Your own model, three lines to copy (a folder as Hugging Face or Sentence-Transformers saves it):
  MODEL=path/to/your-model
  $penjing quantize \$MODEL --scheme w8a8 --out \$MODEL-int8
  $penjing verify \$MODEL-int8 --reference \$MODEL --data your-texts.txt   # one text a line
Done in $((SECONDS - started)) s."

#!/usr/bin/env bash
# Runs every test: installs what is missing, builds, fetches the models, runs ctest. From a fresh clone, with no other
# step. The last line is "N passed, N failed, N skipped"; the exit status is 0 only when none failed.
#
#   scripts/test.sh [CTEST-ARGUMENT]...        for example: scripts/test.sh -R safetensors
#
# With CI=true, warnings are errors (preset `ci`, else `release`), the trainer is built (LibTorch) and BERT-base (408 MB)
# is fetched beside MiniLM (84 MB). Tests that need a model which is not in the cache say so and are counted as skipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh
source scripts/build.sh
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 0
fi

preset=release
[[ ${CI:-} == true ]] && preset=ci
started=$SECONDS
say "Penjing: tests. Installs Debian packages where missing, builds build/$preset, fetches MiniLM (84 MB)" \
  "$([[ $preset == ci ]] && echo 'and BERT-base (408 MB) ')into $(penjing_cache)/models."
[[ $preset == ci ]] && TEST_PACKAGES+=("${TRAIN_PACKAGES[@]}")
install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" curl ca-certificates python3-pip clang-format clang-tidy \
  wordnet-base
build_preset "$preset" -DPENJING_TESTS=ON
say "Built after $((SECONDS - started)) s."
scripts/fetch-data.sh
scripts/fetch-models.sh minilm
if [[ $preset == ci ]]; then
  scripts/fetch-models.sh bert-base --penjing "build/$preset/penjing"
fi
say "Models there after $((SECONDS - started)) s."

results=$PWD/build/$preset/test-results.xml
rm -f "$results"
status=0
# Two tests at a time; those that measure time or use every core ask for the machine (RUN_SERIAL).
ctest --test-dir "build/$preset" --output-on-failure --no-tests=error --output-junit "$results" -j "$(nproc)" "$@" ||
  status=$?
[[ -f $results ]] || stop "ctest ended with status $status and left no results"
say "Done after $((SECONDS - started)) s."
python3 scripts/count_tests.py "$results"
exit "$status"

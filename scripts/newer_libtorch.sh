#!/usr/bin/env bash
# Builds the trainer on the LibTorch inside PyPI's `torch` (the newest, or the version given) in place of Debian's and runs
# its tests there. Results that were reached: docs/dependencies.md.
#
#   scripts/newer_libtorch.sh [VERSION]        for example: scripts/newer_libtorch.sh 2.15.0
#
# In build/libtorch-venv (PyPI's wheel is the one for CUDA: 6 GB; it is kept and used again) and build/libtorch; an hour or
# two on two cores. PENJING_TORCH_VENV names another virtual environment. The wheel has no headers of Gloo: the tests of
# several ranks are skipped. The last line is "N passed, N failed, N skipped"; the exit status is 0 only when none failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh
if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 0
fi
venv=${PENJING_TORCH_VENV:-$PWD/build/libtorch-venv}
out=$PWD/build/libtorch
started=$SECONDS

install_packages "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" python3-venv
if [[ ! -x $venv/bin/python ]]; then
  say "Installs torch of PyPI in $venv: 6 GB"
  python3 -m venv "$venv"
fi
"$venv/bin/pip" install --quiet "torch${1:+==$1}"
read -r version prefix < <("$venv/bin/python" -W ignore -c \
  'import torch; print(torch.__version__, torch.utils.cmake_prefix_path)')
say "LibTorch $version in $prefix"

options=(-DPENJING_TRAIN=ON -DPENJING_TESTS=ON -DCMAKE_PREFIX_PATH="$prefix")
command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
mkdir -p "$out"
if ! { cmake --preset release -B "$out" "${options[@]}" &&
  nice -n 5 cmake --build "$out" -j "$(nproc)" --target \
      penjing penjing-train penjing_train_test penjing_distill_test penjing_cli_test; } \
  >"$out/build.log" 2>&1; then
  grep -nE 'error|Error|FAILED' "$out/build.log" | head -n 40 >&2
  stop "the build failed; the whole log is in $out/build.log"
fi
say "Built after $((SECONDS - started)) s."

# The trainer's own tests, and those of the program that train.
status=0
for module in train distill; do
  "$out/tests/penjing_${module}_test" --gtest_brief=1 --gtest_output="json:$out/$module.json" || status=$?
done
"$out/tests/penjing_cli_test" --gtest_brief=1 --gtest_output="json:$out/cli.json" \
  --gtest_filter='Finetune*:Pretrain*:Distill*:EvalAnswers*:Prompts*' || status=$?
"$venv/bin/python" - "$version" "$out/train.json" "$out/distill.json" "$out/cli.json" <<'PYTHON'
import json
import sys

counts = {"passed": 0, "failed": 0, "skipped": 0}
for path in sys.argv[2:]:
    for suite in json.load(open(path, encoding="utf-8"))["testsuites"]:
        for test in suite["testsuite"]:
            how = "failed" if "failures" in test else "skipped" if test["result"] == "SKIPPED" else "passed"
            counts[how] += 1
            if how != "passed":
                print(f"{how}: {suite['name']}.{test['name']}")
print(f"LibTorch {sys.argv[1]}")
print(", ".join(f"{count} {how}" for how, count in counts.items()))
PYTHON
exit "$status"

#!/usr/bin/env bash
# Builds Penjing for 64-bit ARM on another Debian machine and runs its tests under the emulator qemu-aarch64, with the
# reference kernels (there are no ARM kernels). --native also compares bytes with a program of this machine, which must be
# built from the same sources.
#
#   scripts/aarch64.sh [--out FOLDER] [--native PROGRAM] [CTEST-ARGUMENT]...     default: build/aarch64
#   scripts/aarch64.sh --native build/release/penjing                   for example
#
# Installs, from this system's package sources: g++-aarch64-linux-gnu, qemu-user, cmake, ninja-build, python3. The ARM
# form of the libraries (fmt, spdlog, OpenSSL, SQLite, GoogleTest, CLI11, nlohmann-json; 9 MB) is unpacked in FOLDER/root, by
# apt with package lists of its own: this system's architectures and packages stay as they are.
# Sources that have no arm64 (Ubuntu keeps it on a server of its own): name a sources.list with PENJING_ARM_SOURCES.
#
# Left out: the tests of scripts, documents and form, which say nothing about a processor, and those that run a whole
# model on many texts (parity, fill_mask: a quarter of an hour each under the emulator). The last line is "N passed,
# N failed, N skipped"; the exit status is 0 only when none failed and the bytes are the same.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh
out=$PWD/build/aarch64 native=''
while (($#)); do
  case $1 in
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 0 ;;
    --out) out=$(realpath -m "${2:?--out wants a folder}") && shift 2 ;;
    --native) native=$(realpath "${2:?--native wants a program}") && shift 2 ;;
    *) break ;;
  esac
done
[[ -z $native || -x $native ]] || stop "--native: $native is no program"
root=$out/root
started=$SECONDS

# unpack_libraries: the packages' ARM form and what they depend on, into $root; once.
unpack_libraries() {
  local apt=$out/apt package
  [[ -e $root/complete ]] && return 0
  rm -rf "$root" "$apt"
  mkdir -p "$root" "$apt"/{lists,archives}/partial
  # An empty status file: apt holds nothing for installed and takes every dependency along, the C library too.
  : >"$apt/status"
  local options=(-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o APT::Sandbox::User=
    -o Dir::State="$apt" -o Dir::State::lists="$apt/lists" -o Dir::State::status="$apt/status"
    -o Dir::Cache="$apt" -o Dir::Cache::archives="$apt/archives")
  [[ -z ${PENJING_ARM_SOURCES:-} ]] ||
    options+=(-o Dir::Etc::sourcelist="$(realpath "$PENJING_ARM_SOURCES")" -o Dir::Etc::sourceparts=-)
  apt-get "${options[@]}" update || say "warning: not every package source has arm64"
  apt-get "${options[@]}" install --download-only --no-install-recommends -y -o Dpkg::Use-Pty=0 "$@" >/dev/null ||
    stop "no arm64 packages: $*. PENJING_ARM_SOURCES can name a sources.list that has them"
  for package in "$apt"/archives/*.deb; do dpkg-deb --extract "$package" "$root"; done
  touch "$root/complete"
  rm -rf "$apt"
}

# wrap_program: makes $out/penjing a script that runs the ARM program under the emulator, so that tests which start it
# as a process work with no kernel setting (binfmt_misc).
wrap_program() {
  [[ $(head -c 4 "$out/penjing") == $'\x7fELF' ]] || return 0
  mv "$out/penjing" "$out/penjing.aarch64"
  printf '#!/bin/sh\nexec qemu-aarch64 -0 "$0" -L "%s" "%s" "$@"\n' "$root" "$out/penjing.aarch64" >"$out/penjing"
  chmod +x "$out/penjing"
}

# compare_bytes MODEL: what the native program and the ARM program make of the first lines of the README: embeddings,
# an INT8 model, its embeddings, and an INT8 model that is smoothed and calibrated (activations, logarithms, powers).
compare_bytes() {
  local model=$1 work=$out/compare side program differing=0 file
  rm -rf "$work"
  mkdir -p "$work"/{native,aarch64}
  grep -E '^[A-Z].{20,}' README.md | head -n 4 >"$work/texts.txt"
  for side in native aarch64; do
    program=$native
    [[ $side == aarch64 ]] && program=$out/penjing
    "$program" embed "$model" --input "$work/texts.txt" --output "$work/$side/fp32.npy" --quiet
    "$program" quantize "$model" --scheme w8a8 --out "$work/$side/int8" --quiet >/dev/null
    "$program" quantize "$model" --scheme w8a8 --smooth --range static --observer entropy \
      --calibration "$work/texts.txt" --out "$work/$side/static" --quiet >/dev/null
    "$program" embed "$work/$side/int8" --input "$work/texts.txt" --output "$work/$side/int8.npy" --quiet
  done
  for file in fp32.npy int8/model.safetensors int8.npy static/model.safetensors; do
    if cmp "$work/native/$file" "$work/aarch64/$file"; then
      say "same bytes on both: $file ($(wc -c <"$work/native/$file") bytes)"
    else
      differing=1
    fi
  done
  return "$differing"
}

say "Penjing for 64-bit ARM, in $out: cross-compiles, then runs the tests under qemu-aarch64. 20 to 40
  minutes on two cores, most of it compiling."
install_packages g++-aarch64-linux-gnu qemu-user cmake ninja-build python3
mkdir -p "$out"
unpack_libraries libfmt-dev libspdlog-dev libssl-dev libsqlite3-dev liblzma-dev zlib1g-dev libgtest-dev libcli11-dev \
  nlohmann-json3-dev

options=(-DCMAKE_TOOLCHAIN_FILE=cmake/aarch64.cmake -DPENJING_AARCH64_LIBRARIES="$root")
command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
if ! { cmake --preset release -B "$out" "${options[@]}" && cmake --build "$out"; } >"$out/build.log" 2>&1; then
  grep -nE 'error|Error|FAILED' "$out/build.log" | head -n 40 >&2
  stop "the build failed; the whole log is in $out/build.log"
fi
wrap_program
say "Built after $((SECONDS - started)) s."

results=$out/test-results.xml
rm -f "$results"
status=0
ctest --test-dir "$out" --output-on-failure --no-tests=error --output-junit "$results" -j "$(nproc)" \
  -E '^scripts\.(fetch|format|tidy|consumer|layers|registered|seams|docs|parity|fill_mask)' "$@" || status=$?
[[ -f $results ]] || stop "ctest ended with status $status and left no results"
say "Tested after $((SECONDS - started)) s."

same=0
if [[ -n $native ]]; then
  model=$(penjing_cache)/models/minilm
  if [[ -d $model ]]; then
    compare_bytes "$model" || same=$?
  else
    say "skipped: the comparison of bytes: $model is not there; scripts/fetch-models.sh minilm fetches it"
  fi
fi
python3 scripts/count_tests.py "$results"
exit $((status || same))

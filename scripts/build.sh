# Sourced by quickstart.sh and test.sh.

# build_preset PRESET [CMAKE-OPTION]...: configures and builds build/PRESET; shows the log only when it fails.
build_preset() {
  local preset=$1 log=build/$1.log options=("${@:2}")
  command -v ccache >/dev/null && options+=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  mkdir -p build
  say "Building: preset $preset, log in $log"
  if ! { cmake --preset "$preset" "${options[@]}" && cmake --build --preset "$preset"; } >"$log" 2>&1; then
    grep -nE 'error|Error|FAILED' "$log" | head -n 40 >&2
    tail -n 30 "$log" >&2
    stop "the build failed; the whole log is in $log"
  fi
}

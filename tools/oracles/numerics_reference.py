#!/usr/bin/env python3
"""Digests of 2^20 FP32 values and all special ones converted by NumPy (fp16) and ml_dtypes (bf16, fp8 E4M3, E5M2), for
tests/numerics/float_format_test.cc. Needs numpy and ml_dtypes.

usage: numerics_reference.py tests/data/numerics_reference.json

Value i of the list is the FP32 number with the bits i * 2654435761 mod 2^32 (Knuth's multiplier: spread over all
exponents), after these: 0, -0, the largest and smallest of FP32, infinities, NaN, and for each format its largest value,
the middle above it, the smallest values and the middles below them. Codes are hashed as 16-bit little-endian numbers,
every NaN as 0xffff.
"""

import hashlib
import json
import pathlib
import sys

import ml_dtypes
import numpy as np

FORMATS = {"fp16": (np.float16, 65504, 65520, 2.0**-24), "bf16": (ml_dtypes.bfloat16, 3.3895313892515355e38, None, 2.0**-133),
           "fp8_e4m3": (ml_dtypes.float8_e4m3fn, 448, 464, 2.0**-9), "fp8_e5m2": (ml_dtypes.float8_e5m2, 57344, 61440, 2.0**-16)}


def special():
    values = [0.0, -0.0, 3.4028234663852886e38, 1.1754943508222875e-38, 1.401298464324817e-45, np.inf, -np.inf, np.nan]
    for _, largest, middle, smallest in FORMATS.values():
        for value in (largest, middle, smallest, smallest / 2, smallest * 1.5, smallest * 2.5):
            if value is not None:
                x = np.float32(value)
                values += [x, np.nextafter(x, np.float32(0)), np.nextafter(x, np.float32(np.inf)), -x]
    return np.array(values, dtype=np.float32)


def main():
    spread = (np.arange(1 << 20, dtype=np.uint64) * 2654435761 % 2**32).astype(np.uint32).view(np.float32)
    first = special()
    values = np.concatenate([first, spread])
    record = {"made_by": "tools/oracles/numerics_reference.py", "numpy": np.__version__, "ml_dtypes": ml_dtypes.__version__,
              "special": [int(v) for v in first.view(np.uint32)], "count": len(values), "sha256": {}}
    with np.errstate(all="ignore"):
        for name, (dtype, *_) in FORMATS.items():
            rounded = values.astype(dtype)
            codes = rounded.view(np.uint8 if rounded.itemsize == 1 else np.uint16).astype("<u2")
            codes[np.isnan(rounded.astype(np.float32))] = 0xFFFF
            record["sha256"][name] = hashlib.sha256(codes.tobytes()).hexdigest()
    pathlib.Path(sys.argv[1]).write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()

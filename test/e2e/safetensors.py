# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reads and writes safetensors files with the standard library alone, so that
the tests need nothing but python3."""

import array
import json
import math
import struct
import sys

# Name in the file -> (array type, bytes of an element).
DTYPES = {
    "F64": ("d", 8),
    "F32": ("f", 4),
    "I64": ("q", 8),
    "I32": ("i", 4),
    "U8": ("B", 1),
    "BF16": ("H", 2),
}


def load(path):
    """All tensors of a file: name -> (dtype, shape, list of numbers)."""
    assert sys.byteorder == "little"
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        code, size = DTYPES[entry["dtype"]]
        values = array.array(code)
        values.frombytes(data[begin:end])
        if math.prod(entry["shape"]) != len(values):
            raise ValueError(f"{path}: {name}: shape does not fit its bytes")
        if entry["dtype"] == "BF16":
            wide = array.array("I", (value << 16 for value in values))
            values = array.array("f", wide.tobytes())
        tensors[name] = (entry["dtype"], entry["shape"], values)
    return tensors


def save(path, tensors):
    """Writes name -> (dtype, shape, numbers); no BF16."""
    header, chunks, offset = {}, [], 0
    for name, (dtype, shape, values) in tensors.items():
        data = array.array(DTYPES[dtype][0], values).tobytes()
        assert len(data) == math.prod(shape) * DTYPES[dtype][1], name
        header[name] = {
            "dtype": dtype,
            "shape": list(shape),
            "data_offsets": [offset, offset + len(data)],
        }
        chunks.append(data)
        offset += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))

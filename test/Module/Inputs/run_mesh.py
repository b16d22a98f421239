# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs entries of a module for a mesh on all of its devices, one thread each,
and compares the logical results with those of a module for one device.

    run_mesh.py ONE.so MESH.so [--entries micro_step,...] [--tolerance T]

Stands for the runtime with nothing but the manifest and the ABI: cuts inputs by
their shardings, carries out collectives, joins outputs. f32 modules only. A
collective is carried out as late as may be, when it is waited for: until then
its result is garbage, and what it reads must stay as it is.
"""

import argparse
import array
import ctypes
import json
import random
import struct
import sys
import threading

C = ctypes
TASK = C.CFUNCTYPE(None, C.c_void_p, C.c_int64, C.c_int64, C.c_void_p)
PARALLEL = C.CFUNCTYPE(None, C.c_void_p, C.c_char_p, TASK, C.c_void_p, C.c_int64, C.c_int64)
START = C.CFUNCTYPE(C.c_int32, C.c_void_p, C.c_void_p, C.c_void_p, C.c_void_p)
WAIT = C.CFUNCTYPE(C.c_int32, C.c_void_p)


class Api(C.Structure):
    _fields_ = [("version", C.c_uint32), ("reserved", C.c_uint32),
                ("parallel_for", PARALLEL), ("start", START), ("wait", WAIT),
                ("launch", C.c_void_p), ("product", C.c_void_p)]


class Context(C.Structure):
    _fields_ = [("api", C.POINTER(Api))]


class Call(C.Structure):
    _fields_ = [("args", C.c_void_p), ("extents", C.c_void_p), ("arena", C.c_void_p)]


class Variant(C.Structure):
    _fields_ = [("target", C.c_char_p), ("level", C.c_char_p),
                ("entries", C.POINTER(C.c_void_p)), ("num_kernels", C.c_uint32),
                ("num_images", C.c_uint32), ("kernels", C.c_void_p), ("images", C.c_void_p),
                ("products", C.c_void_p), ("num_products", C.c_uint32),
                ("reserved", C.c_uint32)]


class Module(C.Structure):
    _fields_ = [("abi_version", C.c_uint32), ("num_variants", C.c_uint32),
                ("num_entries", C.c_uint32), ("reserved", C.c_uint32),
                ("variants", C.POINTER(Variant))]


ENTRY = C.CFUNCTYPE(C.c_int32, C.c_void_p, C.c_void_p)


def manifest_of(path):
    with open(path, "rb") as file:
        data = file.read()
    at = data.index(b'{"abi"')
    return json.JSONDecoder().raw_decode(data[at:].decode("utf-8", "replace"))[0]


def product(sizes):
    result = 1
    for size in sizes:
        result *= size
    return result


class Loaded:
    """A module and its mesh."""

    def __init__(self, path):
        self.manifest = manifest_of(path)
        self.library = C.CDLL(path)
        query = self.library.qwen_module_query
        query.restype = C.POINTER(Module)
        self.module = query(self.manifest["abi"]).contents
        self.axes = [axis["size"] for axis in self.manifest.get("mesh_axes", [])]
        self.devices = product(self.axes)
        self.scratch = self.manifest["targets"][0]["worker_scratch_bytes"] + 64

    def coordinates(self, rank):
        digits = []
        for size in reversed(self.axes):
            digits.insert(0, rank % size)
            rank //= size
        return digits

    def place(self, axes, at):
        place = 0
        for axis in axes:
            place = place * self.axes[axis] + at[axis]
        return place

    def parts(self, axes):
        return product(self.axes[axis] for axis in axes)

    def entry(self, name):
        for index, entry in enumerate(self.manifest["entries"]):
            if entry["name"] == name:
                return index, entry
        sys.exit(f"no entry {name}")


def indices(shape, sharding, loaded, at):
    """The flat numbers, in the logical tensor, of a local tensor's elements."""
    sharding = sharding or [[] for _ in shape]
    whole = [n * loaded.parts(axes) for n, axes in zip(shape, sharding)]
    offsets = [0]
    for n, axes, size in zip(shape, sharding, whole):
        begin = loaded.place(axes, at) * n
        offsets = [o * size + begin + i for o in offsets for i in range(n)]
    return offsets, product(whole)


def logical_role(role):
    """The role that the state has on one device."""
    return "gradient" if role == "gradient_sum" else role


def logical(arg, count, size, layer, seed):
    """Element values of a logical input; the same for every mesh."""
    key = f"{logical_role(arg['role'])} {arg['name']} {layer} {seed}"
    rng = random.Random(key)
    if arg["dtype"] == "i32":
        limits = {"tokens": (0, 31), "targets": (-3, 31), "start": (0, 2), "length": (1, 5)}
        low, high = limits.get(arg["name"], (0, 0))
        return [rng.randint(low, high) for _ in range(size)]
    low, high = (0.1, 0.9) if arg["role"] == "moment2" or arg["name"] == "hyper" else (-1, 1)
    return [rng.uniform(low, high) for _ in range(size)]


class Devices:
    """Collectives between threads."""

    def __init__(self, loaded):
        self.loaded = loaded
        self.barrier = threading.Barrier(loaded.devices)
        self.calls = [None] * loaded.devices
        self.under_way = [[] for _ in range(loaded.devices)]
        self.most_under_way = 0
        self.seen = []

    def group(self, rank, axes):
        mine = self.loaded.coordinates(rank)
        group = []
        for other in range(self.loaded.devices):
            theirs = self.loaded.coordinates(other)
            if all(axes >> i & 1 or theirs[i] == mine[i] for i in range(len(mine))):
                group.append(other)
        return group

    def start(self, rank, descriptor, source, target):
        words = C.string_at(descriptor, 32)
        kind, _, _, _, axes, count = struct.unpack("<iiiiQq", words)
        self.under_way[rank].append((words, source, target, C.string_at(source, 4 * count)))
        self.most_under_way = max(self.most_under_way, len(self.under_way[rank]))
        size = len(self.group(rank, axes))
        if source != target:
            given = {1: count * size, 2: count // size}.get(kind, count)
            C.memset(target, 0xFF, 4 * given)  # NaN
        return 0

    def wait(self, rank):
        words, source, target, before = self.under_way[rank].pop(0)
        kind, reduction, dtype, _, axes, count = struct.unpack("<iiiiQq", words)
        fmt = {0: "f", 3: "i"}[dtype]
        if C.string_at(source, 4 * count) != before:
            print(f"collective {rank}: what it reads has changed under way", file=sys.stderr)
            self.barrier.abort()
            return 1
        data = array.array(fmt, before)
        self.calls[rank] = (kind, reduction, axes, count, data)
        if rank == 0:
            self.seen.append((kind, axes, count))
        self.barrier.wait()
        group = self.group(rank, axes)
        if any(self.calls[other][:4] != self.calls[rank][:4] for other in group):
            return 1
        tensors = [self.calls[other][4] for other in group]
        place, block = group.index(rank), count // len(group)
        if kind in (0, 2):
            combine = max if reduction else (lambda values: sum(values))
            out = array.array(fmt, (combine(values) for values in zip(*tensors)))
            if kind == 2:
                out = out[place * block:(place + 1) * block]
        elif kind == 1:
            out = array.array(fmt)
            for tensor in tensors:
                out.extend(tensor)
        else:
            out = array.array(fmt)
            for tensor in tensors:
                out.extend(tensor[place * block:(place + 1) * block])
        self.barrier.wait()
        C.memmove(target, out.tobytes(), 4 * len(out))
        return 0


def run_device(loaded, devices, rank, name, extents, results):
    index, entry = loaded.entry(name)
    at = loaded.coordinates(rank)
    scratch = C.create_string_buffer(loaded.scratch)
    aligned = (C.addressof(scratch) + 63) // 64 * 64

    def parallel(_, __, task, args, n, grain):
        if n > 0:
            task(args, 0, n, aligned)

    api = Api(loaded.manifest["abi"], 0, PARALLEL(parallel),
              START(lambda _, d, i, o: devices.start(rank, d, i, o)),
              WAIT(lambda _: devices.wait(rank)), None)
    context = Context(C.pointer(api))
    slots = (C.c_void_p * entry["slots"])()
    buffers = {}
    known = {}
    for arg in entry["args"]:
        shape = [n if isinstance(n, int) else extents[n] for n in arg["shape"]]
        fmt = "i" if arg["dtype"] == "i32" else "f"
        offsets, size = indices(shape, arg.get("sharding"), loaded, at)
        for layer in range(arg["count"]):
            if arg["role"] == "mesh":
                values = [arg["scale"] * loaded.place(arg["axes"], at)]
            elif arg["role"] == "output":
                values = [0] * len(offsets)
            else:
                whole = logical(arg, len(offsets), size, layer, 1)
                values = [whole[o] for o in offsets]
                n = loaded.parts(arg.get("partial", []))
                i = loaded.place(arg.get("partial", []), at)
                if n > 1:
                    values = [value * (2 * i + 1) / (n * n) for value in values]
            # Storages of one type and sharding are one memory.
            key = (arg["role"], arg["name"], layer, str(arg.get("sharding")))
            if key not in known or arg["role"] == "output":
                data = array.array(fmt, values)
                buffer = C.create_string_buffer(data.tobytes(), max(4 * len(data), 4))
                known[key] = (buffer, offsets, size, fmt, arg)
            slots[arg["slot"] + layer] = C.addressof(known[key][0])
            buffers[key] = known[key]
    numbers = (C.c_int64 * 2)(*[extents[e["name"]] for e in entry["extents"]])
    arena = C.create_string_buffer(entry["arena_bytes"] + 128)
    call = Call(C.addressof(slots), C.addressof(numbers), (C.addressof(arena) + 63) // 64 * 64)
    address = loaded.module.variants[0].entries[index]
    status = ENTRY(address)(C.addressof(context), C.addressof(call))
    if devices.under_way[rank]:
        results[rank] = f"{name} ended before its collectives"
        return
    if status:
        results[rank] = f"{name} returned {status}"
        return
    results[rank] = {
        key[:3]: (array.array(fmt, buffer.raw[:4 * len(offsets)]), offsets, size, arg)
        for key, (buffer, offsets, size, fmt, arg) in buffers.items()
        if arg["role"] == "output" or arg.get("donated")}


def run(loaded, name):
    _, entry = loaded.entry(name)
    extents = {e["name"]: e["max"] for e in entry["extents"]}
    devices = Devices(loaded)
    results = [None] * loaded.devices
    threads = [threading.Thread(target=run_device,
                                args=(loaded, devices, rank, name, extents, results))
               for rank in range(loaded.devices)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if not isinstance(result, dict):
            sys.exit(f"a device failed: {result}")
    joined = {}
    for key in results[0]:
        _, _, size, arg = results[0][key]
        partial = arg.get("partial", [])
        if name in ("last_micro_step", "optimizer_step"):
            partial = []  # summands are added up in place, or zeros
        whole = {}
        for rank in range(loaded.devices):
            at = loaded.coordinates(rank)
            values, offsets, _, _ = results[rank][key]
            part = whole.setdefault(loaded.place(partial, at), {})
            for offset, value in zip(offsets, values):
                if part.setdefault(offset, value) != value:
                    sys.exit(f"{name}: copies of {key} differ between devices")
        joined[key] = [sum(part[i] for part in whole.values()) for i in range(size)]
    for key in [key for key in joined if key[0] == "gradient_sum"]:
        summands = ("gradient", *key[1:])
        if any(joined.get(summands, [])):
            sys.exit(f"{name}: the summands of {key} are not cleared")
        joined[summands] = joined.pop(key)
    return joined, devices


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("one")
    parser.add_argument("mesh")
    parser.add_argument("--entries", default="eval_loss,micro_step,last_micro_step,logits,prefill,decode,optimizer_step")
    parser.add_argument("--tolerance", type=float, default=1e-5)
    options = parser.parse_args()
    one, mesh = Loaded(options.one), Loaded(options.mesh)
    for name in options.entries.split(","):
        expected, _ = run(one, "micro_step" if name == "last_micro_step" else name)
        actual, devices = run(mesh, name)
        worst, where = 0, ""
        for key, values in expected.items():
            largest = max([abs(v) for v in values] + [1e-3])
            if len(values) != len(actual[key]):
                sys.exit(f"{name}: {key} has {len(actual[key])} elements, not {len(values)}")
            difference = max(abs(a - b) for a, b in zip(values, actual[key])) / largest
            if difference >= worst:
                worst, where = difference, key
        good = worst <= options.tolerance
        print(f"{name}: {'the same' if good else 'WRONG'} on {mesh.devices} devices, "
              f"difference {worst:.1e} in {' '.join(map(str, where))}, {len(devices.seen)} collectives, "
              f"{devices.most_under_way} at once")
        if not good:
            sys.exit(1)


main()

#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The files that a run writes about itself tell the same: metrics.jsonl,
metrics.csv, and TensorBoard's event files, which are decoded here from their
description (TFRecord framing with masked CRC-32C, protocol buffers).

    run_files.py RUN
"""

import csv
import glob
import json
import os
import struct
import sys

TABLE = []
for value in range(256):
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    TABLE.append(value)


def masked_crc(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        (crc,) = struct.unpack_from("<I", data, at + 8)
        assert crc == masked_crc(data[at:at + 8]), "checksum of a length"
        body = data[at + 12:at + 12 + length]
        (crc,) = struct.unpack_from("<I", data, at + 12 + length)
        assert len(body) == length and crc == masked_crc(body), "checksum of a record"
        yield body
        at += 16 + length


def fields(message):
    """(number, value) of a protocol buffer."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
        elif kind == 1:
            yield key >> 3, struct.unpack_from("<d", message, at)[0]
            at += 8
        elif kind == 5:
            yield key >> 3, struct.unpack_from("<f", message, at)[0]
            at += 4
        elif kind == 2:
            length = varint()
            yield key >> 3, message[at:at + length]
            at += length
        else:
            sys.exit(f"wire type {kind}")


def read_events(run):
    """{(tag, step): value}, as a reader that follows restarts has them."""
    found = {}
    files = sorted(glob.glob(os.path.join(run, "events.out.tfevents.*")))
    assert files, "no event file"
    for path in files:
        for number, record in enumerate(records(path)):
            event = dict(fields(record))
            if number == 0:
                assert event[3] == b"brain.Event:2", event
                continue
            step = event[2]
            if 7 in event:  # a session log: START
                assert dict(fields(event[7])) == {1: 1}
                found = {k: v for k, v in found.items() if k[1] < step}
                continue
            for number_in, value in fields(event[5]):
                assert number_in == 1
                value = dict(fields(value))
                tag = value[1].decode()
                if 2 in value:
                    found[tag, step] = value[2]
                else:  # a text: tensor of strings, shown by the plugin "text"
                    tensor = dict(fields(value[8]))
                    assert tensor[1] == 7
                    plugin = dict(fields(dict(fields(value[9]))[1]))
                    assert plugin[1] == b"text"
                    found[tag, step] = tensor[8].decode()
    return found


def main():
    run = sys.argv[1]
    with open(os.path.join(run, "metrics.jsonl"), encoding="utf-8") as file:
        events = [json.loads(line) for line in file]
    shown = read_events(run)
    with open(os.path.join(run, "metrics.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    wanted = set()
    prefixes = {"step": "train/", "eval": "eval/", "device": ""}
    for event in events:
        if event["type"] == "sample":
            key = ("samples", event["step"])
            wanted.add(key)
            assert event["samples"][0]["text"] in shown[key]
        if event["type"] not in prefixes:
            continue
        for name, value in event.items():
            if name == "step" or isinstance(value, (bool, str)) or value is None:
                continue
            key = (prefixes[event["type"]] + name, event["step"])
            wanted.add(key)
            assert abs(shown[key] - value) <= 1e-6 * abs(value), (key, shown[key], value)
    assert set(shown) == wanted, set(shown) ^ wanted
    logged = [e for e in events if e["type"] in ("step", "eval")]
    assert len(rows) == len(logged)
    for row, event in zip(rows, logged):
        assert int(row["step"]) == event["step"]
        column = "loss" if event["type"] == "step" else "eval_loss"
        assert float(row[column]) == event["loss"], (row, event)
    kinds = {e["type"] for e in events}
    assert kinds == {"config", "step", "eval", "checkpoint", "device", "sample"}, kinds
    device = next(e for e in events if e["type"] == "device")
    assert device["step"] == 100 and device["cpu/rss_peak_mb"] >= device["cpu/rss_mb"] > 1
    assert device["cpu/load"] >= 0
    print(f"{len(events)} events, {len(shown)} values: the same in all files")


if __name__ == "__main__":
    main()

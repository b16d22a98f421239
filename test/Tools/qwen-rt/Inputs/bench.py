"""bench.py BENCH.json PROFILE.json: their forms, and that they agree."""

import json
import sys

bench = json.load(open(sys.argv[1]))
assert set(bench) == {
    "prefill_tokens_per_s", "decode_tokens_per_s", "train_tokens_per_s",
    "threads", "target", "limits", "share_of_limit", "samples"}, set(bench)
assert bench["threads"] == 2
for task in ("prefill", "decode", "train"):
    samples = bench["samples"][task]
    assert len(samples) == 2 and min(samples) > 0, samples
    assert min(samples) <= bench[task + "_tokens_per_s"] <= max(samples)
    assert bench["share_of_limit"][task] > 0
assert set(bench["limits"]) == {"read_bytes_per_s", "flops_per_s"}

events = json.load(open(sys.argv[2]))["traceEvents"]
names = {e["pid"]: e["args"]["name"] for e in events
         if e["name"] == "process_name"}
assert list(names.values()) == ["prefill", "decode", "train_step"], names
spans = [e for e in events if e["ph"] == "X"]
ends = {}
for span in sorted(spans, key=lambda e: e["ts"]):
    # A worker does one thing at a time.
    worker = span["pid"], span["tid"]
    assert span["dur"] >= 0 and span["ts"] >= ends.get(worker, 0) - 1e-3, span
    ends[worker] = span["ts"] + span["dur"]
# The trace is of one repetition: 8 tokens, each through both layers.
heads = [e for e in spans if names[e["pid"]] == "decode" and
         e["tid"] == 0 and e["name"].startswith("cached_attention")]
assert len(heads) <= 16, len(heads)
assert {e["tid"] for e in spans} <= {0, 1}

#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Kills one of 8 ranks that train; the job must end soon, with a message.

    kill.py MODULE DATA OUT [mpi|tcp]
"""

import os
import pathlib
import signal
import subprocess
import sys
import time

module, data, out = sys.argv[1:4]
RANK, SECONDS = 5, 10
HERE = os.path.dirname(os.path.abspath(__file__))
# How ranks are started, the variable that has their number, the message.
LAUNCHERS = {
    "mpi": (["mpirun", "--bind-to", "none", "-n", "8"], b"OMPI_COMM_WORLD_RANK=%d", "signal 9"),
    "tcp": ([sys.executable, os.path.join(HERE, "Inputs", "launch.py"), "8"], b"RANK=%d",
            "has ended [Q9013]"),
}
launcher, variable, message = LAUNCHERS[(sys.argv[4:] or ["mpi"])[0]]
command = [*launcher, "qwen-rt", "train", module, "--data", data,
           "--data-type", "u32", "--steps", "1000000", "--out", out, "--set", "log.every=1",
           "--set", "checkpoint.every=0", "--set", "eval.every=0"]
job = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def rank_process():
    """The process of this job that is rank RANK."""
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if (entry / "comm").read_text() != "qwen-rt\n":
                continue
            variables = (entry / "environ").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        except (OSError, IndexError):
            continue
        if variable % RANK in variables and parent == job.pid:
            return int(entry.name)
    return None


try:
    deadline = time.time() + 60
    metrics = pathlib.Path(out) / "metrics.jsonl"
    while not (metrics.exists() and '"type":"step"' in metrics.read_text()):
        assert time.time() < deadline and job.poll() is None, "the job does not train"
        time.sleep(0.1)
    victim = rank_process()
    assert victim, "no process of that rank"
    os.kill(victim, signal.SIGKILL)
    begin = time.time()
    text = job.communicate(timeout=SECONDS)[0]
    print(f"ended with status {job.returncode} after {time.time() - begin:.1f} s")
    assert job.returncode != 0, text
    assert f"rank {RANK} " in text and message in text, text
finally:
    if job.poll() is None:
        job.kill()

#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Starts a command several times with the variables of torchrun, and does nothing
more: what one process's end means for the others is theirs to find out.

    launch.py RANKS COMMAND...

Exit status: that of the first rank whose is not 0. Output of ranks other than 0
comes behind their number.
"""

import os
import socket
import subprocess
import sys
import threading

ranks, command = int(sys.argv[1]), sys.argv[2:]


def free_port():
    """Two ports in a row that nobody uses: some commands meet twice."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            try:
                two.bind(("127.0.0.1", one.getsockname()[1] + 1))
            except OSError:
                continue
            return one.getsockname()[1]


def show(rank, stream):
    for line in stream:
        print(f"[{rank}] {line}", end="", file=sys.stderr, flush=True)


# Names of other launchers would be taken for the job's.
other = ("OMPI_", "SLURM_", "JOB_COMPLETION")
environment = {k: v for k, v in os.environ.items() if not k.startswith(other)}
environment.update(WORLD_SIZE=str(ranks), LOCAL_WORLD_SIZE=str(ranks), MASTER_ADDR="127.0.0.1",
                   MASTER_PORT=str(free_port()))
processes, readers = [], []
for rank in range(ranks):
    environment.update(RANK=str(rank), LOCAL_RANK=str(rank))
    pipe = {} if rank == 0 else {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, env=environment,
                                      text=True, **pipe))
    if rank:
        readers.append(threading.Thread(target=show, args=(rank, processes[-1].stdout)))
        readers[-1].start()
codes = [process.wait() for process in processes]
for reader in readers:
    reader.join()
sys.exit(next((abs(code) for code in codes if code), 0))

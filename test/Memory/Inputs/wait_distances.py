# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How many kernels run between the start of each collective and its wait.

    wait_distances.py ENTRY < ir-after-memory

Prints, for each block of the entry (the function, then its loops, in order) and
each kind of collective: how many there are, and the distances in kernels.
"""

import re
import sys


class Block:
    def __init__(self, name):
        self.name = name
        self.under_way = []
        self.kernels = 0  # of an iteration so far
        self.before_carried = None  # kernels before the wait for the last iteration's
        self.distances = {}
        self.most = 0

    def visit(self, line):
        if "dist.late" in line:
            return
        if "dist.carried_waits" in line:
            self.before_carried = self.kernels
        waits = re.search(r"dist\.waits = (\d+)", line)
        for _ in range(int(waits.group(1)) if waits else 0):
            kind, kernels = self.under_way.pop(0)
            self.distances.setdefault(kind, []).append(kernels)
        collective = re.search(r"dist\.(all_reduce|all_gather|reduce_scatter|all_to_all) ", line)
        if collective:
            if "dist.started" in line:
                self.under_way.append([collective.group(1), 0])
                self.most = max(self.most, len(self.under_way))
            else:
                self.distances.setdefault(collective.group(1), []).append(0)
        elif "kernel.launch" in line:
            self.kernels += 1
            for item in self.under_way:
                item[1] += 1


def main():
    done, stack = [], []
    inside = False
    for line in sys.stdin:
        if "func.func @" in line:
            inside = f"@{sys.argv[1]}(" in line
            if inside:
                stack = [Block("entry")]
            continue
        if not inside:
            continue
        if line.strip() == "}":
            block = stack.pop()
            if block.under_way and block.before_carried is None:
                sys.exit(f"{block.name}: ends with collectives under way")
            for kind, kernels in block.under_way:
                block.distances.setdefault(kind, []).append(kernels + block.before_carried)
            done.append(block)
            inside = bool(stack)
            continue
        stack[-1].visit(line)
        if re.search(r"qwen\.layers .*\{$", line.rstrip()):
            stack.append(Block("reverse loop" if " reverse" in line else "loop"))
    for block in done:
        for kind, distances in sorted(block.distances.items()):
            print(f"{block.name}: {len(distances)} {kind}, least {min(distances)}, "
                  f"mean {sum(distances) / len(distances):.1f}, at most {block.most} under way")


main()

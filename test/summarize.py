#!/usr/bin/env python3
# Part of the Qwen compiler, under the Apache License v2.0 with LLVM Exceptions.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reads lit's JSON results; prints failures, skips and slow tests, and as the
last line three numbers: passed, failed, skipped."""

import collections
import json
import re
import sys

SLOW_SECONDS = 60  # what one test file may take


def main():
    try:
        with open(sys.argv[1], encoding="utf-8") as file:
            tests = json.load(file)["tests"]
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"summarize.py: {error}")

    counts = collections.Counter()
    skip_reasons = collections.Counter()
    for test in tests:
        code = test["code"]
        if code in ("PASS", "FLAKYPASS", "XFAIL"):
            counts["passed"] += 1
        elif code in ("UNSUPPORTED", "SKIPPED", "EXCLUDED"):
            # EXCLUDED: left out by the caller's own filter.
            if code == "EXCLUDED":
                continue
            counts["skipped"] += 1
            reason = re.search(
                r"(require[^:]*features?|unsupported[^:]*features?)[^:]*: (.*)",
                test.get("output", ""),
            )
            skip_reasons[reason.group(2) if reason else "skipped by itself"] += 1
        else:
            counts["failed"] += 1
            print(f"failed: {test['name']} ({code})")
    for reason, count in sorted(skip_reasons.items()):
        print(f"skipped {count}, needing: {reason}")
    for test in sorted(tests, key=lambda t: -t.get("elapsed", 0))[:5]:
        if test.get("elapsed", 0) > SLOW_SECONDS:
            print(f"slow: {test['name']} took {test['elapsed']:.0f} s")
    print(counts["passed"], counts["failed"], counts["skipped"])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Reads a trace (`nightlight --trace FILE …`) and says what ran at the same time as what.

usage: trace_overlap.py FILE

For each stage: how often it ran, how long one took, and how much of the traced time at least one was running. Then, for each pair, the
share of the rarer one's time during which the other ran too: 0 % would mean that they wait for each other, 100 % that the rarer hides behind
the other. At last the mean number of threads at work.
"""
import collections
import itertools
import json
import pathlib
import statistics
import sys


def spans(file):
    """(stage, thread, begin, end) in microseconds, from begin and end events that nest per thread."""
    text = pathlib.Path(file).read_text().strip()
    events = json.loads(text if text.endswith("]") else text.rstrip(",\n") + "]")
    open_spans, done = collections.defaultdict(list), []
    for event in sorted((event for event in events if event["ph"] in "BE"), key=lambda event: event["ts"]):
        stack = open_spans[event["tid"]]
        if event["ph"] == "B":
            stack.append((event["name"], event["ts"]))
        elif stack:
            name, begin = stack.pop()
            done.append((name, event["tid"], begin, event["ts"]))
    return done


def union(intervals):
    """Sorted, disjoint intervals that cover the same time."""
    merged = []
    for begin, end in sorted(intervals):
        if merged and begin <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([begin, end])
    return merged


def length(intervals):
    return sum(end - begin for begin, end in intervals)


def common(a, b):
    """How long both unions last together."""
    total = at = 0
    for begin, end in a:
        while at < len(b) and b[at][1] <= begin:
            at += 1
        for other_begin, other_end in itertools.islice(b, at, None):
            if other_begin >= end:
                break
            total += min(end, other_end) - max(begin, other_begin)
    return total


def main():
    done = spans(sys.argv[1])
    if not done:
        sys.exit("the trace has no finished span")
    by_stage = collections.defaultdict(list)
    for name, _, begin, end in done:
        by_stage[name].append((begin, end))
    whole = max(end for *_, end in done) - min(begin for *_, begin, _ in done)
    unions = {name: union(intervals) for name, intervals in by_stage.items()}
    print(f"{whole / 1e6:.2f} s traced")
    for name, intervals in sorted(by_stage.items(), key=lambda row: -length(unions[row[0]])):
        middle = statistics.median(end - begin for begin, end in intervals) / 1e3
        print(f"  {name:<10} {len(intervals):>7} times, median {middle:8.3f} ms, running {100 * length(unions[name]) / whole:5.1f} % of the time")
    print("both running, as a share of the rarer one's time:")
    for a, b in itertools.combinations(sorted(unions), 2):
        shorter = min(length(unions[a]), length(unions[b]))
        if shorter:
            print(f"  {a:<10} and {b:<10} {100 * common(unions[a], unions[b]) / shorter:5.1f} %")
    print(f"threads at work, on average: {sum(end - begin for *_, begin, end in done) / whole:.2f}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The table of ratios: ratios.py OURS.jsonl OTHERS.jsonl…

Each file holds one JSON object a line with "peer", "workload", "pass" and either "median_ms" and "check" or "error".
Several lines of one peer for one row count as one with the median of their times. A ratio is the other's time over
wgrad's: above 1 wgrad is ahead. Checks are compared before times: rows where they differ are named, and the program
then ends with 1.
"""
import json
import math
import statistics
import sys

OURS = "wgrad"
TOLERANCE = 1e-3
TIMES = ("median_ms", "min_ms", "cold_ms", "rss_mb", "peak_rss_mb")


def read(paths):
    """Rows in order of appearance, each with its lines by peer; and the peers."""
    rows, peers = {}, []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                if not text.strip():
                    continue
                try:
                    line = json.loads(text)
                    key = (line["workload"], line["pass"])
                    peer = line["peer"]
                except (ValueError, KeyError) as error:
                    sys.exit(f"{path}:{number}: no line of a benchmark ({error})")
                if peer not in peers:
                    peers.append(peer)
                rows.setdefault(key, {}).setdefault(peer, []).append(line)
    return rows, peers


def merge(lines):
    """Several lines of one peer for one row as one."""
    good = [line for line in lines if "error" not in line]
    if not good:
        return lines[-1]
    merged = dict(good[-1])
    for field in TIMES:
        known = [line[field] for line in good if line.get(field) is not None]
        if known:
            merged[field] = statistics.median(known)
    return merged


def number(x):
    return f"{x:.3g}" if abs(x) < 1000 else f"{x:.0f}"


def table(heads, body):
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for cells in body:
        print("| " + " | ".join(cells) + " |")
    print()


def cell(line):
    if line is None:
        return ""
    return "fails" if "error" in line else number(line["median_ms"])


def ratio(ours, other, field="median_ms"):
    if ours is None or other is None or not ours.get(field) or not other.get(field):
        return None
    return other[field] / ours[field]


def times(rows, others):
    heads = ["workload", "pass", f"{OURS} ms"] + [text for peer in others for text in (f"{peer} ms", "ratio")]
    body = []
    for (name, step), lines in rows.items():
        ours = lines.get(OURS)
        cells = [name, step, cell(ours)]
        for peer in others:
            found = ratio(ours, lines.get(peer))
            cells += [cell(lines.get(peer)), f"{found:.2f}" if found else ""]
        body.append(cells)
    table(heads, body)


def summary(rows, others):
    for peer in others:
        known = {key: ratio(lines.get(OURS), lines.get(peer)) for key, lines in rows.items()}
        known = {key: found for key, found in known.items() if found}
        if not known:
            continue
        mean = math.exp(sum(map(math.log, known.values())) / len(known))
        ahead = sorted((found, key) for key, found in known.items() if found < 1)
        names = ", ".join(f"{name} {step} {found:.2f}" for found, (name, step) in ahead)
        print(f"{peer}: geometric mean of {len(known)} ratios {mean:.2f}; ahead of {OURS}: {names or 'nowhere'}")
    print()


def memory(rows, peers):
    """Peak and cold start of whole models."""
    body = []
    for (name, step), lines in rows.items():
        if not step.startswith("train") and not name.endswith("_b1"):
            continue
        for peer in peers:
            line = lines.get(peer)
            if line and "error" not in line:
                values = [line.get(field) for field in ("cold_ms", "rss_mb", "peak_rss_mb", "plan_mb")]
                body.append([name, step, peer] + ["" if value is None else number(value) for value in values])
    table(["model", "pass", "peer", "first result ms", "resident MB", "peak MB", "plan MB"], body)


def differences(rows):
    """Rows whose checks differ from ours by more than the tolerance, relative to the larger."""
    found = []
    for (name, step), lines in rows.items():
        ours = lines.get(OURS, {}).get("check")
        for peer, line in lines.items():
            theirs = line.get("check")
            if not ours or not theirs or peer == OURS:
                continue
            pairs = list(zip(ours, theirs))
            far = any(abs(a - b) > TOLERANCE * max(abs(a), abs(b), 1e-9) for a, b in pairs)
            if far or (len(ours) != len(theirs) and name != "lstm"):
                found.append(f"{name}:{step} {OURS} {ours}, {peer} {theirs}")
    return found


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    rows, peers = read(sys.argv[1:])
    rows = {key: {peer: merge(lines) for peer, lines in found.items()} for key, found in rows.items()}
    ours = {key: found for key, found in rows.items() if OURS in found}
    if not ours:
        sys.exit(f"no line of {OURS}")
    others = [peer for peer in peers if peer != OURS]
    times(ours, others)
    summary(ours, others)
    memory(ours, peers)
    failed = [f"{name}:{step}: {found[OURS]['error']}" for (name, step), found in ours.items() if "error" in found[OURS]]
    different = differences(ours)
    print("checks that differ by more than 0.1 %: " + ("; ".join(different) or "none"))
    for text in failed:
        print(f"{OURS} fails: {text}")
    sys.exit(1 if different or failed else 0)


if __name__ == "__main__":
    main()

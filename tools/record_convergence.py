"""Record how fast the optimisers converge, for the test that guards it.

    python -m tools.record_convergence

Run it when convergence was made better on purpose, look at what changed, and commit it with the
change. A loss is recorded as the mean over starts that hardly differ, with its standard deviation.
"""

from __future__ import annotations

import json
import sys
from statistics import fmean, stdev

import torch

from tests.trajectories import CASES, RECORD, STARTS, losses


def main() -> int:
    """Write the record, and show it next to the previous one."""
    torch.set_num_threads(1)
    before = json.loads(RECORD.read_text()) if RECORD.exists() else {}
    record = {}
    for name, case in CASES.items():
        runs = [losses(case, start) for start in STARTS]
        columns = list(zip(*runs, strict=True))
        record[name] = {
            str(mark): {"mean": round(fmean(values), 6), "deviation": round(stdev(values), 6)}
            for mark, values in zip(case.marks, columns, strict=True)
        }
        print(name)
        for mark, found in record[name].items():
            old = before.get(name, {}).get(mark, {}).get("mean", "new")
            print(f"  {mark:>3} evaluations: {old} -> {found['mean']} ± {found['deviation']}")
    RECORD.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

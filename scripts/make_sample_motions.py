#!/usr/bin/env python3
"""Make the bundled sample motions anew: ``scripts/make_sample_motions.py --out sample_data``."""

from __future__ import annotations

import argparse
from pathlib import Path

from puffer_phc.motions.choreography import SAMPLE_MOTIONS
from puffer_phc.motions.synthesis import save_amass


def main() -> None:
    """Write every sample motion to the folder and print a table of them."""
    parser = argparse.ArgumentParser(description="Make the bundled sample motions (AMASS layout, mean SMPL body).")
    parser.add_argument("--out", type=Path, default=Path("sample_data"), help="folder to write to (%(default)s)")
    out: Path = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    print(f"{'clip':<20} {'seconds':>7} {'frames':>6}")
    for name, make in SAMPLE_MOTIONS.items():
        clip = make()
        save_amass(out / f"{name}.npz", clip)
        print(f"{name:<20} {clip.duration:>7.2f} {clip.num_frames:>6}")


if __name__ == "__main__":
    main()

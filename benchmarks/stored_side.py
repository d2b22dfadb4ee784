"""What storing training images smaller costs in fidelity and saves on disk.

usage: python benchmarks/stored_side.py FOLDER_OR_ARCHIVE [IMAGES]

Takes random resized crops of 224 pixels from photographs as published and as stored, at the same place, and compares
them: median peak signal-to-noise ratio in dB (higher is closer; the crop from the published image is the reference),
and the share of images that are stored untouched.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from aikd.augment import draw_crops
from aikd.engine.sources.containers import open_container
from aikd.engine.sources.decoding import decode
from aikd.study.catalogue import PHOTOGRAPHS

SIDES = (256, 320, 384, 448)


def main(path: Path, count: int) -> None:
    """Print a Markdown table, one row a stored side."""
    container = open_container(path)
    names = sorted(name for name in container.names() if name.lower().endswith((".jpg", ".jpeg")))
    wanted = names[:: max(1, len(names) // count)][:count]
    rng = np.random.default_rng(0)
    ratios: dict[int, list[float]] = {side: [] for side in SIDES}
    sizes: dict[int, list[int]] = {side: [] for side in SIDES}
    untouched = dict.fromkeys(SIDES, 0)
    published = []
    for name, data in container.files(wanted):
        original = Image.open(io.BytesIO(data)).convert("RGB")
        published.append(original.width * original.height * 3)
        crops = draw_crops(rng, 1, (original.height, original.width), PHOTOGRAPHS)
        box = [int(edge[0]) for edge in (crops.left, crops.top, crops.width, crops.height)]
        reference = cut(original, box, 1.0)
        for side in SIDES:
            stored = Image.fromarray(decode(name, data, short_side=side).pixels)
            sizes[side].append(stored.width * stored.height * 3)
            if stored.size == original.size:
                untouched[side] += 1
            else:
                error = np.mean((cut(stored, box, stored.width / original.width) - reference) ** 2)
                ratios[side].append(10 * np.log10(255**2 / max(error, 1e-9)))
    print(
        f"{len(wanted)} images of {path.name}, {np.mean(published) / 1000:.0f} kB each as published, decoded\n"
    )
    print("| stored side | kB an image | stored untouched | PSNR of the crops of the others |")
    print("|---:|---:|---:|---:|")
    for side in SIDES:
        share = 100 * untouched[side] / len(wanted)
        ratio = f"{np.median(ratios[side]):.1f} dB" if ratios[side] else "–"
        print(f"| {side} | {np.mean(sizes[side]) / 1000:.0f} | {share:.0f} % | {ratio} |")


def cut(image: Image.Image, box: list[int], scale: float) -> np.ndarray:
    """A crop given in the published image's pixels, resized to the network's input."""
    left, top, width, height = (edge * scale for edge in box)
    size = (PHOTOGRAPHS.size, PHOTOGRAPHS.size)
    region = (left, top, min(left + width, image.width), min(top + height, image.height))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=region), dtype=np.float64)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) == 3 else 300)

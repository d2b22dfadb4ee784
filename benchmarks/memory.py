"""Peak memory of training: each model of the paper with each method, full size, two steps and an evaluation on the CPU.

usage: python benchmarks/memory.py > aikd/study/costs/memory.csv

Each pair runs in a process of its own, so that one peak cannot hide another. Images are noise in the shapes of the
paper (batches of 128 × 32² or 32 × 224²); the data set is too small to count, so what a job needs is this peak and its
images (`aikd.study.costs.memory`). On a GPU most of it lies in the GPU's memory instead.
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

MODELS = {
    "preact_resnet18": (32, 128, 100),
    "densenet121_3x3": (32, 128, 100),
    "resnet18": (224, 32, 200),
    "densenet121": (224, 32, 200),
}
"""Architecture → side of the images, batch size, classes."""
METHODS = ("baseline", "cskd", "tfkd", "pskd", "aikd")


def main() -> None:
    """Print the table, one process a row."""
    print("architecture,method,mib")
    for architecture in MODELS:
        for method in METHODS:
            command = [sys.executable, __file__, architecture, method]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            print(f"{architecture},{method},{done.stdout.strip()}", flush=True)


def peak(architecture: str, method: str) -> int:
    """Peak resident memory, in MiB, of this process after two training steps and an evaluation."""
    import numpy as np
    import torch

    from aikd.engine.memory import keep_freed_memory
    from aikd.engine.store import Prepared, write_prepared
    from aikd.engine.training import Trainer, network
    from aikd.study.methods import method_spec

    keep_freed_memory()
    side, batch, classes = MODELS[architecture]
    rng = np.random.default_rng(0)

    def noise(n: int) -> tuple[np.ndarray, np.ndarray]:
        images = rng.integers(0, 256, (n, 3, side, side), dtype=np.uint8)
        return images, np.arange(n, dtype=np.int64) % classes

    spec = method_spec(method)
    with tempfile.TemporaryDirectory() as folder:
        names = [str(label) for label in range(classes)]
        splits = {"train": noise(max(2 * batch, classes)), "test": noise(500 if side == 32 else classes)}
        write_prepared(Path(folder), "noise", names, splits, {})
        settings = json.loads(
            json.dumps(
                {
                    "run": f"noise/{architecture}/{method}/seed0",
                    "seed": 0,
                    "method": method,
                    "settings": spec.defaults.model_dump(),
                    "model": {"architecture": architecture},
                    "augmentation": {"name": "standard"},
                    "data": {
                        "transform": {"size": side},
                        "images_per_class": None,
                        "holdout_per_class": 0,
                    },
                    "recipe": {
                        "epochs": 2, "batch_size": batch, "learning_rate": 0.1, "milestones": [], "decay": 0.1,
                        "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4, "precision": "fp32",
                        "channels_last": True,
                    },
                }
            )
        )  # fmt: skip
        prepared = Prepared.open(Path(folder))
        superior = network(settings, prepared, 1) if spec.defaults.needs_superior else None
        trainer = Trainer(settings, prepared, superior, torch.device("cpu"))
        # The second epoch has a previous one to learn from.
        trainer.method.begin_epoch(0)
        trainer.method.end_epoch(trainer.student)
        trainer.epoch(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(peak(*sys.argv[1:]))
    elif len(sys.argv) == 1:
        main()
    else:
        sys.exit(__doc__)

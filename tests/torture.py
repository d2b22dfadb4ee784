"""Kills training runs of every method at random instants, many times, and compares with undisturbed ones.

Not a test that pytest collects, as it takes its time: `python tests/torture.py --kills 50`. Every attempt is a
process of its own and dies by SIGKILL, or now and then by a signal that it may heed; one in ten attempts finds its
newest state damaged. A run that was done before the kill came loses its results, as Snakemake would delete them, and
every other time its last state, too. In the end all that a run leaves must be as if nothing had happened. Exit code 1
if it is not.
"""

import argparse
import csv
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from multiprocessing import get_context
from multiprocessing.context import ForkProcess
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from aikd import cli
from aikd.engine import jobs  # noqa: F401, loads PyTorch, once for all attempts
from aikd.engine.adoption import LEFT_BEHIND, TRAINED
from aikd.engine.sources import prepare
from aikd.engine.state import States
from aikd.study.methods import METHODS
from aikd.study.resolve import resolve, resolve_data
from aikd.study.run import Run
from aikd.study.schema import Study

NET = {"label": "Net", "architecture": "preact_resnet18", "width": 4, "blocks": [1, 1, 1, 1]}
HEEDED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
EX_TEMPFAIL = 75
DONE = "done"
TIMES = ("seconds", "images_per_second")


def study(epochs: int, precision: str) -> Study:
    """All methods on some of the digits."""
    return Study.model_validate(
        {
            "name": "torture",
            "recipe": {
                "epochs": epochs, "milestones": [epochs // 2], "batch_size": 32, "precision": precision,
            },
            "data": {"digits": {"models": ["net"], "images_per_class": 20}},
            "models": {"net": NET},
            "methods": {name: {} for name in METHODS},
        }
    )  # fmt: skip


def runs(epochs: int, precision: str) -> list[dict[str, Any]]:
    """Settings of one run of each method, and of AI-KD with either reading of the previous student."""
    chosen: list[tuple[str, dict[str, Any]]] = [(name, {}) for name in METHODS if name != "aikd"]
    chosen += [("aikd", {"previous": previous}) for previous in ("snapshot", "memory")]
    # Baseline comes first: it is the superior model of others.
    chosen.sort(key=lambda pair: pair[0] != "baseline")
    return [
        resolve(study(epochs, precision), Run("digits", "net", name, given, "standard", 0))
        for name, given in chosen
    ]


def start(settings: dict[str, Any], results: Path, data: Path, save_every: int) -> ForkProcess:
    """`aikd train` in a process of its own, forked off this one so that it need not load PyTorch first."""
    command = ["train", "--settings", json.dumps(settings), "--save-every", str(save_every)]
    command += ["--results", str(results), "--data", str(data)]
    process = get_context("fork").Process(target=train, args=(command, results / "attempts.log"))
    process.start()
    return process


def whole(settings: dict[str, Any], results: Path, data: Path, save_every: int) -> int | None:
    """Train to the end; returns the exit code."""
    process = start(settings, results, data, save_every)
    process.join()
    return process.exitcode


def train(command: list[str], log: Path) -> None:
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    sys.exit(cli.main(command))


def contents(folder: Path) -> dict[str, Any]:
    """All that a run leaves, without times and provenance; tensors as bytes."""
    found: dict[str, Any] = {"files": sorted(path.name for path in folder.iterdir())}
    for name in ("model.safetensors", LEFT_BEHIND):
        with safe_open(folder / name, framework="np") as file:
            found |= {f"{name}:{key}": file.get_tensor(key).tobytes() for key in file.keys()}  # noqa: SIM118
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found["history"] = [{key: x for key, x in row.items() if key not in TIMES} for row in rows]
    summary = json.loads((folder / "train.json").read_text(encoding="utf-8"))
    return found | {
        key: x for key, x in summary.items() if key not in (*TIMES, "peak_memory", "resumed_at", "revision")
    }


def lose(folder: Path, state: bool) -> None:
    """Delete the results of a run, and its last state if wanted."""
    for path in folder.iterdir():
        if path.name != TRAINED:
            path.unlink()
        elif state:
            shutil.rmtree(path)


def damage_newest(folder: Path, rng: random.Random) -> None:
    """Flip one bit of the newest state, or cut it."""
    states = States(folder)
    if epochs := states.epochs():
        path = states.path(epochs[0])
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data if rng.random() < 0.5 else data[: rng.randrange(len(data))])


def attempt(
    settings: dict[str, Any],
    folders: tuple[Path, Path],
    rng: random.Random,
    window: tuple[float, float],
    save_every: int,
) -> str:
    """One attempt that is ended from outside after a while; returns how it ended."""
    results, data = folders
    process = start(settings, results, data, save_every)
    number = signal.SIGKILL if rng.random() < 0.7 else rng.choice(HEEDED)
    process.join(rng.uniform(*window))
    if process.is_alive():
        os.kill(process.pid or 0, number)
        process.join()
    code = process.exitcode
    if code == 0:
        return DONE
    if code == EX_TEMPFAIL:
        return "saved and left with 75"
    if code == -number:
        return "killed" if number == signal.SIGKILL else "ended while it started"
    return f"unexpected exit code {code}"


def torture(
    settings: dict[str, Any], folders: tuple[Path, Path], expected: dict[str, Any],
    window: tuple[float, float], options: argparse.Namespace,
) -> list[str]:  # fmt: skip
    """Interrupt a run until its share of kills is used up; returns what is wrong with what it left."""
    rng, seen, kills = random.Random(f"{options.seed} {settings['run']}"), Counter[str](), 0
    folder, wrong, last = folders[0] / "runs" / settings["run"], list[str](), ""
    while kills < options.kills:
        done = attempt(settings, folders, rng, window, options.save_every)
        seen[done] += 1
        kills += done != DONE
        if done.startswith("unexpected"):
            wrong.append(done)
        if done == DONE:
            wrong += differences(contents(folder), expected)
            lose(folder, rng.random() < 0.5)
        elif rng.random() < 0.1:
            seen["damaged states"] += 1
            damage_newest(folder, rng)
    if whole(settings, *folders, options.save_every):
        wrong.append("the last attempt failed")
    else:
        wrong += differences(contents(folder), expected)
        resumed = json.loads((folder / "train.json").read_text(encoding="utf-8"))["resumed_at"]
        last = f"; in the end resumed after epochs {', '.join(map(str, resumed))}" if resumed else ""
    print(f"{settings['run']}: {'; '.join(f'{n} × {what}' for what, n in seen.items())}{last}")
    print(f"  {'WRONG: ' + '; '.join(wrong) if wrong else 'as if nothing had happened'}", flush=True)
    return wrong


def differences(found: dict[str, Any], expected: dict[str, Any]) -> list[str]:
    keys = found.keys() | expected.keys()
    return sorted(key for key in keys if found.get(key) != expected.get(key))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, help="attempts ended from outside, for each method")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--save-every", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16", "fp16"], default="fp32")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    os.environ["AIKD_DEVICE"] = "cpu"
    torch.set_num_threads(1)
    wrong = []
    with tempfile.TemporaryDirectory() as place:
        calm, rough, data = (Path(place) / name for name in ("calm", "rough", "data"))
        for folder in (calm, rough):
            folder.mkdir()
        prepare(resolve_data(study(options.epochs, "fp32"), "digits"), data)
        for settings in runs(options.epochs, options.precision):
            started = time.monotonic()
            if whole(settings, calm, data, options.save_every):
                sys.exit((calm / "attempts.log").read_text(encoding="utf-8"))
            seconds = time.monotonic() - started
            folder = calm / "runs" / settings["run"]
            trained = json.loads((folder / "train.json").read_text(encoding="utf-8"))["seconds"]
            # Mostly while it trains: starting up has little to lose. Several attempts come to the end together.
            window = (0.9 * (seconds - trained), seconds - 0.6 * trained)
            wrong += torture(settings, (rough, data), contents(folder), window, options)
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

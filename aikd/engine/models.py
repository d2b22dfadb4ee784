"""Trained networks on disk: weights as safetensors, next to the summary that says what they are."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load_file, save
from torch import nn

from aikd.engine.store import Prepared
from aikd.errors import UserError
from aikd.files import write_bytes
from aikd.models import build
from aikd.records import file_digest, read_summary
from aikd.study.architectures import ARCHITECTURES
from aikd.study.layout import MODEL, RUNS, SUMMARY


def save_model(path: Path, model: nn.Module, run: str) -> str:
    """Write a network's weights, atomically; returns the SHA-256 of the file.

    Raises:
        OSError: there is no room, or no permission.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    # In one piece from memory, as the library's own writer hides the system's error.
    content = save(weights, {"run": run})
    write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def trained_settings(results: Path, run: str) -> dict[str, Any]:
    """The resolved settings of a trained run.

    Raises:
        UserError: there is no summary, or it is damaged or another run's.
    """
    path = results / RUNS / run / SUMMARY
    summary = read_summary(results, run)
    if summary is None:
        raise UserError(f"{path}: no such file; train {run} first")
    settings = summary.get("settings")
    if not isinstance(settings, dict):
        raise UserError(f"{path}: holds no settings, so {MODEL} cannot be read; train the run again")
    return settings


def load_trained(results: Path, settings: dict[str, Any], prepared: Prepared) -> nn.Module:
    """The trained network of the run with `settings`, on the CPU.

    Raises:
        UserError: there is none, it is not, bit for bit, the one that was trained with these settings, or its network
            is an extension's that was not read, or has other code now.
        OSError: there is no permission to read it.
    """
    run = settings["run"]
    path, again = results / RUNS / run / MODEL, f"delete it and train {run} again"
    check_network(settings["model"], settings["run"])
    model = build(settings["model"], prepared.manifest["classes"], prepared.channels)
    try:
        digest = file_digest(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such model; train {run} first") from None
    try:
        with safetensors.safe_open(path, framework="np") as file:
            found = (file.metadata() or {}).get("run")
        if found != run:
            raise UserError(f"{path}: holds the weights of {found}, not of {run}; {again}")
        model.load_state_dict(load_file(path))
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not the weights of {run} ({reason}); {again}") from None
    # Versions of before wrote no hash.
    if (trained := (read_summary(results, run) or {}).get("model", digest)) != digest:
        raise UserError(
            f"{path}: found SHA-256 {digest[:16]}…, but {SUMMARY} beside it is of {trained[:16]}…; {again}"
        )
    return model


def check_network(model: Mapping[str, Any], what: str) -> None:
    """Refuse a network of an extension that was not named, or has changed.

    Results may come from anywhere: what they say of an extension is compared, and never a reason to run its file.

    Args:
        model: settings of the network.
        what: has this network, for the message.

    Raises:
        UserError: names the file.
    """
    name = model["architecture"]
    if not (wanted := model.get("extension")):
        return
    if not (own := ARCHITECTURES.own.get(name)):
        raise UserError(
            f"{what}: its network {name} is an extension's, a program that is run only if you name it: "
            f"--extension {wanted['file']}"
        )
    if own.source.code != wanted["code"]:
        raise UserError(
            f"{own.source.file}: found the code {own.source.code}, but {what} was trained with {wanted['code']}; bring "
            "the file back, or train the run again"
        )


def load_superior(results: Path, settings: dict[str, Any], prepared: Prepared) -> nn.Module:
    """The superior model S^Sup of the run with `settings`: Baseline on the same data, model and seed.

    Raises:
        UserError: it is not there, or is another run.
    """
    folder = results / RUNS / settings["superior"]
    if read_summary(results, settings["superior"]) is None:
        raise UserError(f"{folder}: no trained run; {settings['run']} learns from it, so train it first")
    found = trained_settings(results, settings["superior"])
    wanted = settings | {"run": settings["superior"]}
    for key in ("run", "recipe_version", "data", "model", "recipe", "seed"):
        if found.get(key) != wanted[key]:
            raise UserError(
                f"{folder}: the superior model of {settings['run']} must have {key} {wanted[key]}, "
                f"this one was trained with {found.get(key)}; train it again"
            )
    return load_trained(results, found, prepared)

"""Trained networks on disk: weights as safetensors, next to the summary that says what they are."""

from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load_file, save_file
from torch import nn

from aikd.engine.store import Prepared
from aikd.errors import UserError
from aikd.files import read_json, replacing
from aikd.models import build
from aikd.study.layout import MODEL, SUMMARY


def save_model(path: Path, model: nn.Module, run: str) -> None:
    """Write a network's weights, atomically."""
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with replacing(path) as temporary:
        save_file(weights, temporary, metadata={"run": run})


def trained_settings(folder: Path) -> dict[str, Any]:
    """The resolved settings of the run trained in `folder`.

    Raises:
        UserError: there is no summary, or it is damaged.
    """
    settings = read_json(folder / SUMMARY).get("settings")
    if not isinstance(settings, dict):
        raise UserError(
            f"{folder / SUMMARY}: holds no settings, so {MODEL} cannot be read; train the run again"
        )
    return settings


def load_trained(folder: Path, settings: dict[str, Any], prepared: Prepared) -> nn.Module:
    """The trained network in `folder`, on the CPU.

    Raises:
        UserError: there is none, or it is not the network that the settings describe.
    """
    path = folder / MODEL
    model = build(settings["model"], prepared.manifest["classes"], prepared.channels)
    try:
        with safetensors.safe_open(path, framework="np") as file:
            found = (file.metadata() or {}).get("run")
        if found != settings["run"]:
            raise UserError(f"{path}: holds the weights of {found}, not of {settings['run']}; train it again")
        model.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise UserError(f"{path}: no such model; train {settings['run']} first") from None
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: not the weights of {settings['run']} ({reason}); train it again") from None
    return model


def load_superior(folder: Path, settings: dict[str, Any], prepared: Prepared) -> nn.Module:
    """The superior model S^Sup in `folder` for the run with `settings`: Baseline on the same data, model and seed.

    Raises:
        UserError: the folder holds another run, or none.
    """
    if not (folder / SUMMARY).exists():
        raise UserError(f"{folder}: no trained run; {settings['run']} learns from it, so train it first")
    found = trained_settings(folder)
    wanted = settings | {"run": settings["superior"]}
    for key in ("run", "recipe_version", "data", "model", "recipe", "seed"):
        if found.get(key) != wanted[key]:
            raise UserError(
                f"{folder}: the superior model of {settings['run']} must have {key} {wanted[key]}, "
                f"this one was trained with {found.get(key)}; train it again"
            )
    return load_trained(folder, found, prepared)

"""What a trained network says of the evaluation set."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from aikd.engine.data import Images
from aikd.engine.precision import Precision
from aikd.files import write_bytes
from aikd.models import logits_and_features
from aikd.records import content_digest


def write_predictions(
    path: Path,
    model: nn.Module,
    settings: dict[str, Any],
    test: Images,
    holdout: Images | None,
    precision: Precision,
    origin: dict[str, str],
    check: Callable[[], None] = lambda: None,
) -> None:
    """Predict the evaluation set, and write the outputs to `path`.

    The file holds logits fp32 [N, C], penultimate features fp16 [N, F], labels int64 [N]; where the study holds
    training images out, also `holdout_logits` and `holdout_labels`. Metadata: run, dataset, `origin`, and the
    digest of the content.

    Args:
        origin: SHA-256 of the `model`, and digest of the `data`.
        check: called before each batch; what it raises ends predicting.

    Raises:
        OSError: there is no room, or no permission.
    """
    model = precision.place(model).eval()
    logits, features, labels = _outputs(model, test, precision, check)
    tensors = {"logits": logits, "features": features.half(), "labels": labels}
    if holdout is not None:
        tensors["holdout_logits"], _, tensors["holdout_labels"] = _outputs(model, holdout, precision, check)
    metadata = {
        "run": settings["run"],
        "dataset": settings["data"]["name"],
        **origin,
        "content": content_digest({name: tensor.numpy() for name, tensor in tensors.items()}),
    }
    write_bytes(path, save(tensors, metadata))


def _outputs(
    model: nn.Module, images: Images, precision: Precision, check: Callable[[], None]
) -> tuple[Tensor, Tensor, Tensor]:
    logits, features, labels = [], [], []
    with torch.inference_mode():
        for batch, batch_labels in images.evaluation():
            check()
            with precision.autocast():
                batch_logits, batch_features = logits_and_features(model, batch)
            logits.append(batch_logits.float().cpu())
            features.append(batch_features.float().cpu())
            labels.append(batch_labels.cpu())
    return torch.cat(logits), torch.cat(features), torch.cat(labels)

"""What runs wrote down of themselves, epoch by epoch."""

from pathlib import Path

import pandas as pd

from aikd.errors import UserError
from aikd.results.aggregate import run_file
from aikd.study.layout import HISTORY

LEADING = ("learning_rate", "loss")
ERRORS = ("test_error", "train_error")
TIMES = ("seconds", "images_per_second")
AGAIN = "delete it and train that run again"

LABELS = {
    "test_error": "Test error (%)",
    "train_error": "Training error (%)",
    "learning_rate": "Learning rate",
    "loss": "Loss",
    "ce": "Cross-entropy",
    "soft_ce": "Soft cross-entropy",
    "class_wise": "Class-wise term",
    "guide": "Guide term",
    "previous": "Previous-epoch term",
    "adversarial": "Adversarial term",
    "logit_mean": "Logits: mean",
    "logit_norm": "Logits: norm",
    "superior_logit_mean": "Superior's logits: mean",
    "superior_logit_norm": "Superior's logits: norm",
    "adversarial_cosine": "Adversarial push: cosine",
    "adversarial_share": "Adversarial push: share",
    "critic_loss": "Critic's loss",
    "distance": "Critic's distance",
    "gradient_norm": "Critic's gradient norm",
}
"""How figures call the columns; a column without a label keeps its name."""
CRITIC = ("critic_loss", "distance", "gradient_norm")
"""Columns that show how the critic does; they stand last, side by side."""


def label(column: str) -> str:
    """How figures call a column of `history.csv`."""
    return LABELS.get(column, column.replace("_", " "))


def read_history(results: Path, run: str) -> pd.DataFrame | None:
    """`history.csv` of a run, indexed by epoch from 1; errors in percent, empty where nobody looked.

    None where the run has none.

    Raises:
        UserError: it is damaged.
    """
    path = run_file(results, run, HISTORY)
    try:
        frame = pd.read_csv(path)
    except FileNotFoundError:
        return None
    except (ValueError, pd.errors.ParserError) as error:  # an empty file is a ValueError
        raise UserError(f"{path}: not readable CSV ({str(error).strip()}); {AGAIN}") from None
    if missing := [name for name in ("epoch", *LEADING, *ERRORS) if name not in frame]:
        raise UserError(f"{path}: lacks the columns {', '.join(missing)}; {AGAIN}")
    if not len(frame) or frame["epoch"].tolist() != list(range(1, len(frame) + 1)):
        raise UserError(f"{path}: its epochs are not 1, 2, 3, …; {AGAIN}")
    if text := [str(name) for name in frame if not pd.api.types.is_numeric_dtype(frame[name])]:
        raise UserError(f"{path}: {text[0]} holds what is not a number; {AGAIN}")
    return frame.set_index("epoch")


def panels(histories: list[pd.DataFrame]) -> list[str]:
    """The columns that are drawn, in the order drawn: errors, rate, loss, the methods' terms, then the critic."""
    columns = dict.fromkeys(str(name) for history in histories for name in history)
    terms = [name for name in columns if name not in (*LEADING, *ERRORS, *TIMES, *CRITIC)]
    first = (*ERRORS, *LEADING)
    return [*first, *terms, *(name for name in CRITIC if name in columns)]

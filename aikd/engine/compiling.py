"""Networks compiled by `torch.compile`, for the batches that are most of training."""

import os

import torch
from torch import Tensor, nn

from aikd.errors import UserError
from aikd.methods.base import Network


def check_compiler(device: torch.device) -> None:
    """Compile something small for the device, before anything else takes time.

    Raises:
        UserError: it cannot be done here: there is no C++ compiler, or no Triton for the GPU, or no room.
    """
    # In this process: workers of its own would take cores that other jobs have, and a signal meant for the job.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    try:
        torch.compile(lambda x: x.sin() + 1, fullgraph=True)(torch.ones(8, device=device))
    except Exception as error:  # whatever the compiler's many parts raise
        # The first line says what is missing; advice to developers follows.
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise UserError(
            f"--compile: torch.compile cannot work on {device} here ({reason[:200]}); set `compile: false` in the study"
        ) from None


def compiled(network: nn.Module, batch: int) -> Network:
    """The network as a function that is compiled for batches of so many images; others pass through it as it is.

    An epoch's last batch is smaller: to compile for it, too, would take as long again and gain nothing. The module
    itself stays as it was, its weights under their names. Kernels only: CUDA graphs would record every new S_{t-1}
    anew, and overwrite logits of CS-KD's first pass while they are still needed.
    """
    # One graph and one size, or an error: nothing falls back to slow ways unseen. Frozen networks of one architecture
    # share what is compiled, as their weights are its arguments.
    fast = torch.compile(network, fullgraph=True, dynamic=False)

    def forward(images: Tensor) -> Tensor:
        logits: Tensor = (fast if len(images) == batch else network)(images)
        return logits

    return forward

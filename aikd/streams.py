"""Randomness as a function: every random number of a run follows from (seed, stream, epoch) and nothing else.

No generator state lives across epochs. A resumed run therefore needs none, and two methods with the same seed
see the same batches, crops and flips, so that their difference is a paired comparison.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What a random number is for. The numbers are part of the recipe: changing one changes every result."""

    ORDER = 0
    CROP = 1
    MIX = 2
    PARTNER = 3
    PARTNER_CROP = 4
    CRITIC = 5
    STUDENT_INIT = 6
    SUPERIOR_INIT = 7
    CRITIC_INIT = 8
    SUBSET = 9
    TSNE = 10
    SPLIT = 11
    TORCH = 12


def generator(seed: int, stream: Stream, epoch: int = 0) -> np.random.Generator:
    """A fresh generator for one purpose in one epoch (from 0); streams, epochs and seeds are independent.

    Counter-based Philox (Salmon et al., 2011), keyed through NumPy's SeedSequence. `seed` and `epoch` are at
    least 0; NumPy raises ValueError otherwise.
    """
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(int(stream), epoch))
    return np.random.Generator(np.random.Philox(sequence))


def torch_seed(seed: int, stream: Stream, *epoch: int) -> int:
    """A 63-bit seed in 0..2**63-1 for `torch.manual_seed` or `torch.Generator`: weight initialisation, or an epoch."""
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(int(stream), *epoch))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))

"""Floor 2: prepared data, the training loop, predictions. What computes lives below, what reads results above."""

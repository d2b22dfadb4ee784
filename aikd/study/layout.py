"""Names of the files that a study's results consist of."""

RUNS = "runs"
"""Folder of all runs within the results; a run's own path follows."""

MODEL = "model.safetensors"
HISTORY = "history.csv"
SUMMARY = "train.json"
PREDICTIONS = "predictions.safetensors"
METRICS = "metrics.json"
MANIFEST = "manifest.json"

PROGRESS = ".progress.json"
"""Beside a run's results, for as long as it has not been trained."""

STATES = ".state"
"""Folder of the states within a run's. No rule of the workflow declares it, so it survives a failed attempt."""

LOGS = "logs"
"""Folder of what the workflow's jobs said, within the results: `<rule>/<run>.log`."""

BENCHMARKS = "benchmarks"
"""Folder of what the workflow's jobs took, by Snakemake's clock, within the results: `<rule>/<run>.jsonl`."""

TENSORBOARD = "tensorboard"
"""Folder of TensorBoard's files within the results, where the study asks for them; a run's own path follows."""

"""Data sets, from their published form to decoded images and a manifest.

Needs nothing; makes `data/<dataset>/manifest.json` and the arrays beside it.
"""


rule prepare:
    """Decode a data set once. Training depends on its small manifest, not on the arrays."""
    output:
        "data/{dataset}/manifest.json",
    log:
        "data/logs/prepare/{dataset}.log",
    benchmark:
        "data/benchmarks/prepare/{dataset}.jsonl"
    conda:
        "../../envs/aikd.yaml"
    shell:
        "python -m aikd prepare {wildcards.dataset:q} --data data 2> {log:q}"

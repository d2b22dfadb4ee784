"""Training runs.

Needs prepared data, and for methods that have one the superior model; makes a run's model, history and summary.
"""


rule pretrain:
    """Train a Baseline run: a result of its own, and the superior model S^Sup of the other methods."""
    input:
        w.manifest,
    output:
        model=f"{w.runs}/{{dataset}}/{{run}}/model.safetensors",
        history=f"{w.runs}/{{dataset}}/{{run}}/history.csv",
        summary=f"{w.runs}/{{dataset}}/{{run}}/train.json",
    log:
        f"{w.results}/logs/train/{{dataset}}/{{run}}.log",
    benchmark:
        f"{w.results}/benchmarks/train/{{dataset}}/{{run}}.jsonl"
    wildcard_constraints:
        run=r"[a-z0-9_]+/baseline/.*seed\d+",
    conda:
        "../../envs/aikd.yaml"
    threads: w.study.threads
    resources:
        gpu=1,
        mem_mb=w.memory,
        runtime=w.runtime,
    params:
        settings=w.settings,
        results=w.folder,
        options=w.train_options,
    shell:
        "python -m aikd train --settings {params.settings:q} --results {params.results:q} --data data"
        " {params.options} 2> {log:q}"


use rule pretrain as train with:
    """Train a run of any other method, after its superior model if it learns from one."""
    input:
        w.manifest,
        w.superior,
    wildcard_constraints:
        run=r"[a-z0-9_]+/(?!baseline/).*seed\d+",

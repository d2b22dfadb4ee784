"""From models to metrics.

Needs a trained run; makes its predictions, its metrics, one file with the metrics of all runs and one with their costs.
"""


localrules:
    all_runs,


rule predict:
    """Logits and penultimate features of the evaluation set."""
    input:
        f"{w.runs}/{{dataset}}/{{run}}/model.safetensors",
        f"{w.runs}/{{dataset}}/{{run}}/train.json",
    output:
        f"{w.runs}/{{dataset}}/{{run}}/predictions.safetensors",
    log:
        f"{w.results}/logs/predict/{{dataset}}/{{run}}.log",
    benchmark:
        f"{w.results}/benchmarks/predict/{{dataset}}/{{run}}.jsonl"
    # Before the next training: a run's last state stays on the disk until it is predicted with.
    priority: 1
    conda:
        "../../envs/aikd.yaml"
    threads: w.study.threads
    resources:
        gpu=1,
        mem_mb=w.memory,
        runtime=w.predict_runtime,
    params:
        results=w.folder,
        options=w.predict_options,
    shell:
        "python -m aikd predict {wildcards.dataset:q}/{wildcards.run:q}"
        " --results {params.results:q} --data data {params.options} 2> {log:q}"


rule calibrate:
    """Errors, F1 and calibration, before and after temperature scaling."""
    input:
        f"{w.runs}/{{dataset}}/{{run}}/predictions.safetensors",
        code=code("metrics.py", "calibration.py"),
    output:
        f"{w.runs}/{{dataset}}/{{run}}/metrics.json",
    log:
        f"{w.results}/logs/calibrate/{{dataset}}/{{run}}.log",
    benchmark:
        f"{w.results}/benchmarks/calibrate/{{dataset}}/{{run}}.jsonl"
    conda:
        "../../envs/aikd.yaml"
    params:
        results=w.folder,
        calibration={
            "bins": w.study.calibration.bins,
            "folds": w.study.calibration.folds,
        },
    shell:
        "python -m aikd calibrate {wildcards.dataset:q}/{wildcards.run:q} --results {params.results:q}"
        " --bins {params.calibration[bins]} --folds {params.calibration[folds]} 2> {log:q}"


rule all_runs:
    """One row a run: all metrics; and apart from them, as they never come out the same twice, time and place."""
    input:
        w.metrics(w.all_runs()),
        code=code("results/aggregate.py"),
    output:
        report(
            f"{w.results}/all_runs.csv",
            category="Runs",
            caption="../report/all_runs.rst",
        ),
        report(
            f"{w.results}/costs.csv",
            category="Costs",
            caption="../report/costs.rst",
        ),
    log:
        f"{w.results}/logs/all_runs.log",
    benchmark:
        f"{w.results}/benchmarks/all_runs.jsonl"
    conda:
        "../../envs/aikd.yaml"
    params:
        results=w.folder,
        runs=w.runs_json(),
    shell:
        # Through a pipe: one argument holds 128 KiB, the paths of some two thousand runs.
        "printf %s {params.runs:q} | python -m aikd collect --runs @/dev/stdin --results {params.results:q}"
        " --to {params.results:q} 2> {log:q}"

"""Figures.

Needs the metrics of the runs in them, for t-SNE their predictions; makes `figures/figure_N.{pdf,png}`.
"""


localrules:
    figure,


rule figure:
    """One figure as PDF and PNG."""
    input:
        w.inputs,
        code=code("results/*.py", "results/figures/*.py", "study/metrics.py"),
    output:
        pdf=f"{w.results}/figures/{{name}}.pdf",
        png=report(
            f"{w.results}/figures/{{name}}.png",
            category="Figures",
            caption="../report/figure.rst",
        ),
    log:
        f"{w.results}/logs/figures/{{name}}.log",
    benchmark:
        f"{w.results}/benchmarks/figures/{{name}}.jsonl"
    wildcard_constraints:
        name=r"(?!claims\.)[a-z0-9_]+",
    conda:
        "../../envs/aikd.yaml"
    params:
        results=w.folder,
        spec=w.spec_json,
    shell:
        "python -m aikd figure --spec {params.spec:q} --results {params.results:q} --to {params.results:q}/figures 2> {log:q}"

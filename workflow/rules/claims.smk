"""The paper's claims.

Needs the metrics of those runs of the study's tables and figures that a claim speaks of; makes `claims.{csv,md}` and a
figure, and a target `claims`.
"""


localrules:
    claims,


rule claims:
    """A verdict on each claim of the paper, as CSV and Markdown, and all effects as a figure."""
    input:
        w.claimed,
        code=code(
            "results/*.py",
            "results/published.csv",
            "results/claims/*.py",
            "results/figures/style.py",
            "study/metrics.py",
            "study/claims/*.py",
            "study/claims/paper.yaml",
        ),
    output:
        csv=report(
            f"{w.results}/claims.csv",
            category="Claims",
            caption="../report/claims.rst",
        ),
        md=f"{w.results}/claims.md",
        pdf=f"{w.results}/figures/claims.pdf",
        png=report(
            f"{w.results}/figures/claims.png",
            category="Claims",
            caption="../report/claims.rst",
        ),
    log:
        f"{w.results}/logs/claims.log",
    benchmark:
        f"{w.results}/benchmarks/claims.jsonl"
    conda:
        "../../envs/aikd.yaml"
    params:
        results=w.folder,
        spec=w.claims_spec,
    shell:
        "python -m aikd claims --spec {params.spec:q} --results {params.results:q} --to {params.results:q} 2> {log:q}"

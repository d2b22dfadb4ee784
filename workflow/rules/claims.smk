"""The paper's claims.

Needs the metrics of those runs of the study's tables and figures that a claim speaks of; makes `claims.{csv,md}` and,
where any claim can be checked, a figure, and a target `claims`.
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
            "study/deviations.py",
            "study/metrics.py",
            "study/claims/*.py",
            "study/claims/paper.yaml",
        ),
    output:
        [
            (
                report(file, category="Claims", caption="../report/claims.rst")
                if file.endswith((".csv", ".png"))
                else file
            )
            for file in w.claims_files()
        ],
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

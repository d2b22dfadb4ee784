"""What people open: learning curves, the report, and the paper as one document.

Needs tables, figures, claims, predictions and histories; makes `classes.csv`, `report.html`, `paper.tex` and, where LaTeX can
set it, `paper.pdf`; and a target for each figure of learning curves.
"""


localrules:
    classes,
    report,
    paper,


rule classes:
    """Errors class by class, of every method beside the Baseline."""
    input:
        w.class_files(),
        code=code("results/classes.py", "results/intervals.py"),
    output:
        report(
            f"{w.results}/classes.csv",
            category="Runs",
            caption="../report/classes.rst",
        ),
    log:
        f"{w.results}/logs/classes.log",
    benchmark:
        f"{w.results}/benchmarks/classes.jsonl"
    conda:
        "../../envs/aikd.yaml"
    params:
        results=w.folder,
        spec=w.classes_json(),
    shell:
        "python -m aikd classes --spec {params.spec:q} --results {params.results:q} --data data"
        " --to {params.results:q} 2> {log:q}"


rule report:
    """Everything on one page that opens without a network."""
    input:
        w.everything(),
        w.claims_files(),
        code=code(
            "results/*.py",
            "results/report/*.*",
            "study/deviations.py",
            "study/metrics.py",
        ),
    output:
        f"{w.results}/report.html",
    log:
        f"{w.results}/logs/report.log",
    benchmark:
        f"{w.results}/benchmarks/report.jsonl"
    conda:
        "../../envs/aikd.yaml"
    params:
        results=w.folder,
        study=w.whole_study,
        shown=w.shown,
    shell:
        "python -m aikd report --study-json {params.study:q} --results {params.results:q} --data data"
        " --to {output:q} 2> {log:q}"


rule paper:
    """All tables and figures in one document. Where LaTeX is not there or fails it stays paper.tex, and the log says so.

    So the PDF is no output that a study could fail for.
    """
    input:
        w.everything(),
        w.claims_files(),
        code=code(
            "results/*.py",
            "results/report/paper*",
            "results/report/about.py",
            "results/report/claims.py",
            "study/deviations.py",
            "study/metrics.py",
        ),
    output:
        f"{w.results}/paper.tex",
    log:
        f"{w.results}/logs/paper.log",
    benchmark:
        f"{w.results}/benchmarks/paper.jsonl"
    conda:
        "../../envs/aikd.yaml"
    params:
        results=w.folder,
        study=w.whole_study,
        shown=w.shown,
        lacking=w.lacking,
    shell:
        "python -m aikd paper --study-json {params.study:q} --results {params.results:q} --data data 2> {log:q}"


for target, files in w.learning_targets().items():

    rule:
        """Learning curves of one data set and model, or of one table, or all of them."""
        name:
            target
        input:
            files,

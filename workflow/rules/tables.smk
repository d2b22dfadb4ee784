"""Tables.

Needs the metrics of the runs in them; makes `tables/table_N.{tex,csv,md}`, and a target by each table's name.
"""


localrules:
    table,
    published,


rule table:
    """One table as LaTeX, CSV and Markdown."""
    input:
        w.inputs,
        code=code("results/*.py", "study/metrics.py"),
    output:
        tex=f"{w.results}/tables/{{name}}.tex",
        csv=report(
            f"{w.results}/tables/{{name}}.csv",
            category="Tables",
            caption="../report/table.rst",
        ),
        md=f"{w.results}/tables/{{name}}.md",
    log:
        f"{w.results}/logs/tables/{{name}}.log",
    benchmark:
        f"{w.results}/benchmarks/tables/{{name}}.jsonl"
    wildcard_constraints:
        name=r"[a-z0-9_]+(?<!_published)",
    conda:
        "../../envs/aikd.yaml"
    params:
        results=w.folder,
        spec=w.spec_json,
    shell:
        "python -m aikd table --spec {params.spec:q} --results {params.results:q} --data data"
        " --to {params.results:q}/tables 2> {log:q}"


rule published:
    """One table, ours beside the published numbers, as LaTeX, CSV and Markdown."""
    input:
        w.inputs,
        code=code("results/*.py", "results/published.csv", "study/metrics.py"),
    output:
        tex=f"{w.results}/tables/{{name}}_published.tex",
        csv=report(
            f"{w.results}/tables/{{name}}_published.csv",
            category="Tables",
            caption="../report/table.rst",
        ),
        md=f"{w.results}/tables/{{name}}_published.md",
    log:
        f"{w.results}/logs/tables/{{name}}_published.log",
    benchmark:
        f"{w.results}/benchmarks/tables/{{name}}_published.jsonl"
    conda:
        "../../envs/aikd.yaml"
    params:
        results=w.folder,
        spec=w.spec_json,
    shell:
        "python -m aikd table --published --spec {params.spec:q} --results {params.results:q} --data data"
        " --to {params.results:q}/tables 2> {log:q}"


for target in w.targets():

    rule:
        """A table or figure, or all parts of a figure, by its name in the paper."""
        name:
            target
        input:
            w.files_of(target),

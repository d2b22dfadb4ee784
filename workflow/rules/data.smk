"""Data sets, from their published archives to decoded images and a manifest.

Needs the internet, a mirror, or archives placed in `data/downloads/`; makes `data/<dataset>/<digest>/manifest.json` and
the arrays beside it, and a target `prepare_<dataset>` for each data set. The digest is that of the settings by which a
set is prepared, so that sets prepared in two ways lie side by side.
"""


localrules:
    download,


rule download:
    """Get and verify one archive. Its receipt is small, so that nothing depends on the gigabytes themselves."""
    output:
        update("data/downloads/{archive}.json"),
    log:
        "data/logs/download/{archive}.log",
    benchmark:
        "data/benchmarks/download/{archive}.jsonl"
    conda:
        "../../envs/aikd.yaml"
    params:
        options=w.download_options,
    shell:
        "python -m aikd download {wildcards.archive:q} --data data{params.options} 2> {log:q}"


rule prepare:
    """Decode a data set once. Training depends on its small manifest, not on the arrays.

    The manifest is updated, as otherwise Snakemake would remove a good one before a preparation that then fails.
    """
    input:
        w.archives,
    output:
        update("data/{dataset}/{digest}/manifest.json"),
    log:
        "data/logs/prepare/{dataset}/{digest}.log",
    benchmark:
        "data/benchmarks/prepare/{dataset}/{digest}.jsonl"
    wildcard_constraints:
        digest=r"[0-9a-f]{12}",
    conda:
        "../../envs/aikd.yaml"
    threads: 64
    resources:
        mem_mb=w.prepare_memory,
    params:
        settings=w.data_settings,
    shell:
        "python -m aikd prepare --settings {params.settings:q} --data data --workers {threads} 2> {log:q}"


for dataset in w.study.data:

    rule:
        """One data set, downloaded and prepared, by its name in the study."""
        name:
            f"prepare_{dataset}"
        input:
            w.manifest_of(dataset),

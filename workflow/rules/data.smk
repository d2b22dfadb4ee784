"""Data sets, from their published archives to decoded images and a manifest.

Needs the internet, a mirror, or archives placed in `data/downloads/`; makes `data/<dataset>/manifest.json` and the
arrays beside it.
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
    """Decode a data set once. Training depends on its small manifest, not on the arrays."""
    input:
        w.archives,
    output:
        "data/{dataset}/manifest.json",
    log:
        "data/logs/prepare/{dataset}.log",
    benchmark:
        "data/benchmarks/prepare/{dataset}.jsonl"
    conda:
        "../../envs/aikd.yaml"
    threads: 64
    resources:
        mem_mb=1500,
    params:
        settings=w.data_settings,
    shell:
        "python -m aikd prepare --settings {params.settings:q} --data data --workers {threads} 2> {log:q}"

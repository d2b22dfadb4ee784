"""AI-KD, reproduced. `snakemake --cores 8 --resources gpu=2` makes every result; `snakemake table_5 …` one."""

if not workflow.overwrite_configfiles:

    configfile: "config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/claims.smk"
include: "workflow/rules/report.smk"


rule all:
    """Every table, every figure, the claims, all runs in one file, the report and the paper."""
    default_target: True
    input:
        [w.files_of(target) for target in w.targets()],
        w.claims_files(),
        f"{w.results}/all_runs.csv",
        f"{w.results}/report.html",
        f"{w.results}/paper.tex",

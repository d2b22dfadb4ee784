"""What a study costs: operations, disk and memory counted from its settings, times from them and a device's speed.

`networks` counts the layers of a network, `work` what a run does with it, `times` how long a device takes for that,
`schedule` how long several devices take for many runs, `memory` how much of it a job needs, `data` what the data sets
take, and `plan` puts them together for the tables and figures of a study. Nothing here imports torch.
"""

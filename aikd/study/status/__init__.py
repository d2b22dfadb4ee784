"""Where a study stands while it runs, from files alone: no process is asked, and nothing is written.

`signs` tells from a progress file whether its run still trains, `runs` where each run stands, and `times` how long the
rest takes. Nothing here imports torch.
"""

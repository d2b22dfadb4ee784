"""The commands, a module for each kind; every one imports what it needs only when it runs.

A module has the commands as functions, whose docstrings are their help, and `add(command)`, which says what
arguments each takes.
"""

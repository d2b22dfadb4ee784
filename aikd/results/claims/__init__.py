"""The paper's claims, checked: on the runs of a study, and on the numbers that the paper itself prints."""

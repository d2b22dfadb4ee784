"""Errors that a user can mend: shown as one message, never as a traceback."""


class UserError(Exception):
    """Something the user gave cannot be used: the message names it, what was found and what is allowed."""

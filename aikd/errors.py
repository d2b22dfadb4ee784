"""Ends of a command that are one message, never a traceback: errors that a user can mend, and interruptions."""


class UserError(Exception):
    """Something the user gave cannot be used: the message names it, what was found and what is allowed."""


class Interrupted(BaseException):
    """A signal ended training; the message says where the next attempt continues. No `except Exception` takes it."""

"""The error tree. Every error a person can meet is one of these; its text says what, where, expected, next step."""


class LooopError(Exception):
    """Base of all errors we raise on purpose; shown as one line, without a traceback."""

    exit_code = 1


class Invalid(LooopError):
    """Input does not fit: wrong shape, wrong type, a name outside the charset."""


class Refused(LooopError):
    """A rule or a guard says no; nothing was changed."""


class Missing(LooopError):
    """Something that was named does not exist."""


class Unreadable(LooopError):
    """It exists, or may exist, and cannot be read. Never to be taken for absent."""


class Corrupt(LooopError):
    """It was read and is not what it should be."""


class Unwritable(LooopError):
    """It could not be written; what was there before is still there."""


class AlreadyRunning(LooopError):
    """Another pulse holds the lock."""


class NoHome(LooopError):
    """HOME is not set and was needed. Source: spec/cli.md §3."""

    exit_code = 2

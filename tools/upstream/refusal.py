"""The one error for a document that cannot be used."""


class Refused(Exception):  # noqa: N818 - the command exits with "refused"; the name says what happened
    """The document cannot be used; the message is one sentence that says why."""

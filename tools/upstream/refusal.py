"""The one error of a document that is no good."""


class Refused(Exception):  # noqa: N818 - the command exits with "refused"; the name says what happened
    """The document cannot be used; the message is one sentence that says why."""

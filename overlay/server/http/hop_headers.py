"""Which headers a proxy sends on: https://www.rfc-editor.org/rfc/rfc9110#section-7.6.1."""

from collections.abc import Iterable

_OF_ONE_CONNECTION = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "host",
    }
)
_LENGTH = "content-length"


def sent_on(headers: Iterable[tuple[str, str]], *, without: frozenset[str]) -> list[tuple[str, str]]:
    """The headers, with names in lower case, that are neither of one connection, whether by their name or because
    Connection names them, nor in `without`. A content-length stays, whatever Connection says: it frames the body.
    """
    headers = [(name.lower(), text) for name, text in headers]
    named = {
        each.strip().lower() for name, text in headers if name == "connection" for each in text.split(",")
    }
    left_out = (_OF_ONE_CONNECTION | named | without) - ({_LENGTH} - without)
    return [(name, text) for name, text in headers if name not in left_out]

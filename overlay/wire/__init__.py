"""One call out, one answer in.

In: a call that generated code describes, and the settings of a client. Out: a decoded answer, a body being
streamed, or a typed error that holds no token. This package adds the token, retries a 401 with a fresh one, limits
answers in size and time, words the errors, and decides what may be retried. Nothing here knows what a batch is.
"""

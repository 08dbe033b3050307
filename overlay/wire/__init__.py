"""One call out, one answer in.

In: a call that generated code describes, and the settings of a client. Out: a decoded answer, a body being
streamed, or a typed error that holds no token. Here the token is added, a 401 is met with a fresh one, answers are
bounded in size and time, refusals are put into words, and what may be tried again is decided. Nothing here knows
what a batch is.
"""

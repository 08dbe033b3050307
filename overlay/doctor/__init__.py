"""`overlay doctor`: whether everything is in place and, for a few cents, whether a service is as its profile says.

A client and its settings go in; findings come out, one sentence each. Nothing that is found is a secret.

    findings    what a check comes to
    standing    what can be told without paying: key, address, clock, home, extras, limits
    recording   a transport that keeps what the service really sent
    live        one small batch, and what was seen of it
    comparing   what was seen, against the profile
"""

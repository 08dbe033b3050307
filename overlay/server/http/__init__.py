"""The service over HTTP: routes, uploads, tokens, errors, and the server that runs them.

In: requests on a socket. Out: answers as the API words them. What a route does is done by the engine.
"""

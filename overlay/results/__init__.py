"""What comes out: one `Result` for each request.

In: an ended batch and its files. Out: results, in the requests' order, each a success or a failure with its reason.
`shapes`, `reading`, `verdicts` and `result` make sense of a line whatever a service has put there, `joining`
matches answers to requests, `fetching` and `following` get the files, `iterables` is what callers loop over.
"""

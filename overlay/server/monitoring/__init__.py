"""What people, orchestrators and Prometheus see of a service that runs.

    /          a page for people: batches, failures, upstreams; it needs nothing from the network    (page.html)
    /status    what the page shows, as JSON; /status/{batch_id} is a batch with its first failures   (survey.py)
    /health    200 as long as the service runs; /ready: whether it can take requests                 (routes.py)
    /metrics   for Prometheus                                                                        (metrics.py)

Where the service has tokens, all but the page itself, /health and /ready need one. No answer holds a token.
"""

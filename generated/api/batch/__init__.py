# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
"""Contains endpoint functions for accessing the API"""

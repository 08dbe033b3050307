# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
"""Contains methods for accessing the API"""

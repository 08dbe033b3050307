# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
"""A client library for accessing OpenAI Batch API"""

from .client import AuthenticatedClient, Client

__all__ = (
    "AuthenticatedClient",
    "Client",
)

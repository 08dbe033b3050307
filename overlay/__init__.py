"""The OpenAI Batch API, whole: upload, create, wait, results."""

"""Development only, never in the wheel: updates openapi.yaml from an upstream document and generates Python."""

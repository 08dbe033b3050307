"""Libraries that are here only where the caller has them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from overlay.errors import ConfigurationError

_INSTALL = {
    "pyarrow": "'openai-batch-overlay[tables]'",
    "ray": "'openai-batch-overlay[ray]'",
    "dask": "'openai-batch-overlay[dask]'",
    "pyspark": "'openai-batch-overlay[spark]'",
}


def needed(module: str, what: str) -> Any:
    """A module, loaded. Raises ConfigurationError that names the pip command where it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        command = f"pip install {_INSTALL.get(package, package)}"
        raise ConfigurationError(f"{what} needs {package}: {command}") from None

"""Objects in a bucket: few calls, and each says for sure what came of it, or raises StorageError."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import Any, TypeAlias

import attrs

from overlay.errors import ConfigurationError, StorageError

_PATIENCE = 120.0
"""For how many seconds a call is tried again that has no certain outcome."""
_PAUSE, _GROWTH, _LONGEST_PAUSE = 0.1, 2.0, 5.0
_INSTANCE_METADATA = "169.254.169.254"
"""Where an instance of EC2 asks for its role's credentials, if there are no others."""
_RETRIES = {"max_retries": 3, "retry_timeout": timedelta(seconds=20)}

Version: TypeAlias = str
"""An object's ETag: another one once the object has changed."""


@attrs.frozen
class Found:
    """An object, as it was read."""

    data: bytes
    version: Version


@lru_cache(maxsize=16)
def objects_at(address: str) -> Objects:
    """The objects under an address. Credentials and region are those of the environment."""
    return Objects(address)


class Objects:
    """The objects under an address. Threads may share it."""

    def __init__(self, address: str) -> None:
        self.address = address

    @cached_property
    def _library(self) -> Any:
        try:
            import obstore  # noqa: PLC0415 - an extra
        except ImportError as error:
            raise ConfigurationError(
                f"{self.address} needs the extra object-store: pip install 'openai-batch-overlay[object-store]'"
            ) from error
        return obstore

    @cached_property
    def _store(self) -> Any:
        library = self._library
        with self._told(self.address):
            return library.store.from_url(self.address, retry_config=_RETRIES, conditional_put="etag")

    def read(self, key: str) -> Found | None:
        """An object; None if there is none."""
        with self._told(key):
            try:
                got = self._library.get(self._store, key)
                return Found(bytes(got.bytes()), got.meta["e_tag"] or "")
            except FileNotFoundError:
                return None

    def create(self, key: str, data: bytes) -> Version | None:
        """Put an object where there is none; None if there is one. No two calls may have the same data."""
        return self._settled(key, data, mode="create", unchanged=lambda found: found is None)

    def replace(self, key: str, data: bytes, version: Version) -> Version | None:
        """Put an object in place of one that is unchanged since it was read; None if it is not. No two calls may
        have the same data.
        """

        def unchanged(found: Found | None) -> bool:
            return found is not None and found.version == version

        return self._settled(key, data, mode={"e_tag": version}, unchanged=unchanged)

    def _settled(
        self, key: str, data: bytes, *, mode: Any, unchanged: Callable[[Found | None], bool]
    ) -> Version | None:
        """Put an object on a condition. An answer may be lost, and what is refused may be the second try of a call
        whose first one was heard: what is there now tells.
        """
        errors = self._library.exceptions
        until, pause = time.monotonic() + _PATIENCE, _PAUSE
        while True:
            failure: Exception
            try:
                return str(self._library.put(self._store, key, data, mode=mode)["e_tag"])
            except (errors.PermissionDeniedError, errors.UnauthenticatedError) as error:
                raise self._failed(key, error) from OSError(errno.EACCES, str(error))
            except (errors.BaseError, OSError) as error:
                failure = error
            try:
                found = self.read(key)
            except StorageError as error:
                failure = error
            else:
                if found is not None and found.data == data:
                    return found.version
                if not unchanged(found):
                    return None
                if found is None and isinstance(failure, FileNotFoundError):  # the bucket is
                    raise self._failed(key, failure) from failure
            if time.monotonic() > until:
                raise self._failed(key, failure) from OSError(errno.EIO, str(failure))
            time.sleep(pause)
            pause = min(_LONGEST_PAUSE, pause * _GROWTH)

    def keys(self, folder: str, *, after: str = "") -> list[str]:
        """The keys in a folder, in order; those after one, where it is given."""
        with self._told(folder):
            pages = self._library.list(self._store, prefix=f"{folder}/", offset=after or None)
            return sorted(each["path"] for page in pages for each in page)

    def folders(self, folder: str) -> list[str]:
        """The names of the folders in a folder."""
        with self._told(folder):
            found = self._library.list_with_delimiter(self._store, prefix=f"{folder}/")["common_prefixes"]
            return sorted(each.rstrip("/").rpartition("/")[2] for each in found)

    def delete(self, *keys: str) -> None:
        """Delete objects; those that are gone already are none."""
        if keys:
            with self._told(keys[0]), suppress(FileNotFoundError):
                self._library.delete(self._store, list(keys))

    @contextmanager
    def _told(self, key: str) -> Generator[None]:
        try:
            yield
        except (self._library.exceptions.BaseError, OSError, ValueError) as error:
            raise self._failed(key, error) from OSError(errno.EIO, str(error))

    def _failed(self, key: str, error: Exception) -> StorageError:
        where = self.address if key == self.address else f"{self.address}/{key}"
        if isinstance(error, StorageError):
            return error
        # The library tells the call, its headers and its causes on many lines.
        what = str(error).splitlines()[0] if str(error) else type(error).__name__
        if _INSTANCE_METADATA in what:
            what = (
                "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
            )
        return StorageError(f"{where}: {what:.300}")

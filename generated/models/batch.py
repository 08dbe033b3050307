# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.batch_object import BatchObject, check_batch_object
from ..models.batch_status import BatchStatus, check_batch_status
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.batch_errors import BatchErrors
    from ..models.batch_request_counts import BatchRequestCounts
    from ..models.batch_usage import BatchUsage


T = TypeVar("T", bound="Batch")


@_attrs_define
class Batch:
    """A file of requests that the service works through in its own time.

    Attributes:
        id (str): Name of the batch in every other call.
        object_ (BatchObject | str | Unset): Kind of object; `batch`.
        cancelled_at (int | Unset): When it was cancelled, in Unix seconds.
        cancelling_at (int | Unset): When cancelling began, in Unix seconds.
        completed_at (int | Unset): When it completed, in Unix seconds.
        completion_window (str | Unset): Time within which the service means to be done, as `24h`.
        created_at (int | Unset): When it was created, in Unix seconds.
        endpoint (str | Unset): Path of the API that answers every line, as `/v1/chat/completions`.
        error_file_id (str | Unset): File with the lines that failed; absent where none did.
        errors (BatchErrors | Unset): Everything that was wrong with a batch as a whole.
        expired_at (int | Unset): When its time ran out, in Unix seconds.
        expires_at (int | Unset): When its time will run out, in Unix seconds.
        failed_at (int | Unset): When it failed as a whole, in Unix seconds.
        finalizing_at (int | Unset): When the service began to write the result files, in Unix seconds.
        in_progress_at (int | Unset): When the service began to answer lines, in Unix seconds.
        input_file_id (str | Unset): File with the requests.
        metadata (Any | Unset): Up to 16 pairs of the caller's own; keys of 64 characters, values of 512.
        model (str | Unset): Model that answers the lines.
        output_file_id (str | Unset): File with the lines that were answered; absent where none was.
        request_counts (BatchRequestCounts | Unset): Lines of a batch by how they fared.
        status (BatchStatus | str | Unset): Where the batch stands; services have states of their own.
        usage (BatchUsage | Unset): Tokens used by a batch.
    """

    id: str
    object_: BatchObject | str | Unset = UNSET
    cancelled_at: int | Unset = UNSET
    cancelling_at: int | Unset = UNSET
    completed_at: int | Unset = UNSET
    completion_window: str | Unset = UNSET
    created_at: int | Unset = UNSET
    endpoint: str | Unset = UNSET
    error_file_id: str | Unset = UNSET
    errors: BatchErrors | Unset = UNSET
    expired_at: int | Unset = UNSET
    expires_at: int | Unset = UNSET
    failed_at: int | Unset = UNSET
    finalizing_at: int | Unset = UNSET
    in_progress_at: int | Unset = UNSET
    input_file_id: str | Unset = UNSET
    metadata: Any | Unset = UNSET
    model: str | Unset = UNSET
    output_file_id: str | Unset = UNSET
    request_counts: BatchRequestCounts | Unset = UNSET
    status: BatchStatus | str | Unset = UNSET
    usage: BatchUsage | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        object_: str | Unset
        if isinstance(self.object_, Unset):
            object_ = UNSET
        elif isinstance(self.object_, str):
            object_ = self.object_
        else:
            object_ = self.object_

        cancelled_at = self.cancelled_at

        cancelling_at = self.cancelling_at

        completed_at = self.completed_at

        completion_window = self.completion_window

        created_at = self.created_at

        endpoint = self.endpoint

        error_file_id = self.error_file_id

        errors: dict[str, Any] | Unset = UNSET
        if not isinstance(self.errors, Unset):
            errors = self.errors.to_dict()

        expired_at = self.expired_at

        expires_at = self.expires_at

        failed_at = self.failed_at

        finalizing_at = self.finalizing_at

        in_progress_at = self.in_progress_at

        input_file_id = self.input_file_id

        metadata = self.metadata

        model = self.model

        output_file_id = self.output_file_id

        request_counts: dict[str, Any] | Unset = UNSET
        if not isinstance(self.request_counts, Unset):
            request_counts = self.request_counts.to_dict()

        status: str | Unset
        if isinstance(self.status, Unset):
            status = UNSET
        elif isinstance(self.status, str):
            status = self.status
        else:
            status = self.status

        usage: dict[str, Any] | Unset = UNSET
        if not isinstance(self.usage, Unset):
            usage = self.usage.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
            }
        )
        if object_ is not UNSET:
            field_dict["object"] = object_
        if cancelled_at is not UNSET:
            field_dict["cancelled_at"] = cancelled_at
        if cancelling_at is not UNSET:
            field_dict["cancelling_at"] = cancelling_at
        if completed_at is not UNSET:
            field_dict["completed_at"] = completed_at
        if completion_window is not UNSET:
            field_dict["completion_window"] = completion_window
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if endpoint is not UNSET:
            field_dict["endpoint"] = endpoint
        if error_file_id is not UNSET:
            field_dict["error_file_id"] = error_file_id
        if errors is not UNSET:
            field_dict["errors"] = errors
        if expired_at is not UNSET:
            field_dict["expired_at"] = expired_at
        if expires_at is not UNSET:
            field_dict["expires_at"] = expires_at
        if failed_at is not UNSET:
            field_dict["failed_at"] = failed_at
        if finalizing_at is not UNSET:
            field_dict["finalizing_at"] = finalizing_at
        if in_progress_at is not UNSET:
            field_dict["in_progress_at"] = in_progress_at
        if input_file_id is not UNSET:
            field_dict["input_file_id"] = input_file_id
        if metadata is not UNSET:
            field_dict["metadata"] = metadata
        if model is not UNSET:
            field_dict["model"] = model
        if output_file_id is not UNSET:
            field_dict["output_file_id"] = output_file_id
        if request_counts is not UNSET:
            field_dict["request_counts"] = request_counts
        if status is not UNSET:
            field_dict["status"] = status
        if usage is not UNSET:
            field_dict["usage"] = usage

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:

        d = dict(src_dict)
        id = d.pop("id")

        def _parse_object_(data: object) -> BatchObject | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                object_type_0 = check_batch_object(data)

                return object_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(BatchObject | str | Unset, data)

        object_ = _parse_object_(d.pop("object", UNSET))

        cancelled_at = d.pop("cancelled_at", UNSET)

        cancelling_at = d.pop("cancelling_at", UNSET)

        completed_at = d.pop("completed_at", UNSET)

        completion_window = d.pop("completion_window", UNSET)

        created_at = d.pop("created_at", UNSET)

        endpoint = d.pop("endpoint", UNSET)

        error_file_id = d.pop("error_file_id", UNSET)

        _errors = d.pop("errors", UNSET)
        errors: BatchErrors | Unset
        if isinstance(_errors, Unset):
            errors = UNSET
        else:
            errors = BatchErrors.from_dict(_errors)

        expired_at = d.pop("expired_at", UNSET)

        expires_at = d.pop("expires_at", UNSET)

        failed_at = d.pop("failed_at", UNSET)

        finalizing_at = d.pop("finalizing_at", UNSET)

        in_progress_at = d.pop("in_progress_at", UNSET)

        input_file_id = d.pop("input_file_id", UNSET)

        metadata = d.pop("metadata", UNSET)

        model = d.pop("model", UNSET)

        output_file_id = d.pop("output_file_id", UNSET)

        _request_counts = d.pop("request_counts", UNSET)
        request_counts: BatchRequestCounts | Unset
        if isinstance(_request_counts, Unset):
            request_counts = UNSET
        else:
            request_counts = BatchRequestCounts.from_dict(_request_counts)

        def _parse_status(data: object) -> BatchStatus | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                status_type_0 = check_batch_status(data)

                return status_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(BatchStatus | str | Unset, data)

        status = _parse_status(d.pop("status", UNSET))

        _usage = d.pop("usage", UNSET)
        usage: BatchUsage | Unset
        if isinstance(_usage, Unset):
            usage = UNSET
        else:
            usage = BatchUsage.from_dict(_usage)

        batch = cls(
            id=id,
            object_=object_,
            cancelled_at=cancelled_at,
            cancelling_at=cancelling_at,
            completed_at=completed_at,
            completion_window=completion_window,
            created_at=created_at,
            endpoint=endpoint,
            error_file_id=error_file_id,
            errors=errors,
            expired_at=expired_at,
            expires_at=expires_at,
            failed_at=failed_at,
            finalizing_at=finalizing_at,
            in_progress_at=in_progress_at,
            input_file_id=input_file_id,
            metadata=metadata,
            model=model,
            output_file_id=output_file_id,
            request_counts=request_counts,
            status=status,
            usage=usage,
        )

        batch.additional_properties = d
        return batch

    @property
    def additional_keys(self) -> list[str]:
        return list(self.additional_properties.keys())

    def __getitem__(self, key: str) -> Any:
        return self.additional_properties[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.additional_properties[key] = value

    def __delitem__(self, key: str) -> None:
        del self.additional_properties[key]

    def __contains__(self, key: str) -> bool:
        return key in self.additional_properties

from ..models.batch_errors import BatchErrors  # noqa: E402
from ..models.batch_request_counts import BatchRequestCounts  # noqa: E402
from ..models.batch_usage import BatchUsage  # noqa: E402

# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.create_batch_request_completion_window import (
    CreateBatchRequestCompletionWindow,
    check_create_batch_request_completion_window,
)
from ..models.create_batch_request_endpoint import (
    CreateBatchRequestEndpoint,
    check_create_batch_request_endpoint,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.batch_file_expiration_after import BatchFileExpirationAfter


T = TypeVar("T", bound="CreateBatchRequest")


@_attrs_define
class CreateBatchRequest:
    """What a new batch is made of.

    Attributes:
        completion_window (CreateBatchRequestCompletionWindow | str): Time within which the batch should be done; `24h`,
            or another where the service has it.
        endpoint (CreateBatchRequestEndpoint | str): Path of the API that is to answer every line.
        input_file_id (str): File with the requests, uploaded for the purpose `batch`.
        metadata (Any | Unset): Up to 16 pairs of the caller's own; keys of 64 characters, values of 512.
        output_expires_after (BatchFileExpirationAfter | Unset): How long the result files of a batch are kept.
    """

    completion_window: CreateBatchRequestCompletionWindow | str
    endpoint: CreateBatchRequestEndpoint | str
    input_file_id: str
    metadata: Any | Unset = UNSET
    output_expires_after: BatchFileExpirationAfter | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        completion_window: str
        if isinstance(self.completion_window, str):
            completion_window = self.completion_window
        else:
            completion_window = self.completion_window

        endpoint: str
        if isinstance(self.endpoint, str):
            endpoint = self.endpoint
        else:
            endpoint = self.endpoint

        input_file_id = self.input_file_id

        metadata = self.metadata

        output_expires_after: dict[str, Any] | Unset = UNSET
        if not isinstance(self.output_expires_after, Unset):
            output_expires_after = self.output_expires_after.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "completion_window": completion_window,
                "endpoint": endpoint,
                "input_file_id": input_file_id,
            }
        )
        if metadata is not UNSET:
            field_dict["metadata"] = metadata
        if output_expires_after is not UNSET:
            field_dict["output_expires_after"] = output_expires_after

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:

        d = dict(src_dict)

        def _parse_completion_window(
            data: object,
        ) -> CreateBatchRequestCompletionWindow | str:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                completion_window_type_0 = check_create_batch_request_completion_window(
                    data
                )

                return completion_window_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(CreateBatchRequestCompletionWindow | str, data)

        completion_window = _parse_completion_window(d.pop("completion_window"))

        def _parse_endpoint(data: object) -> CreateBatchRequestEndpoint | str:
            try:
                if not isinstance(data, str):
                    raise TypeError()
                endpoint_type_0 = check_create_batch_request_endpoint(data)

                return endpoint_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(CreateBatchRequestEndpoint | str, data)

        endpoint = _parse_endpoint(d.pop("endpoint"))

        input_file_id = d.pop("input_file_id")

        metadata = d.pop("metadata", UNSET)

        _output_expires_after = d.pop("output_expires_after", UNSET)
        output_expires_after: BatchFileExpirationAfter | Unset
        if isinstance(_output_expires_after, Unset):
            output_expires_after = UNSET
        else:
            output_expires_after = BatchFileExpirationAfter.from_dict(
                _output_expires_after
            )

        create_batch_request = cls(
            completion_window=completion_window,
            endpoint=endpoint,
            input_file_id=input_file_id,
            metadata=metadata,
            output_expires_after=output_expires_after,
        )

        create_batch_request.additional_properties = d
        return create_batch_request

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

from ..models.batch_file_expiration_after import BatchFileExpirationAfter  # noqa: E402

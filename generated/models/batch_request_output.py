# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.batch_request_output_error import BatchRequestOutputError
    from ..models.batch_request_output_response import BatchRequestOutputResponse


T = TypeVar("T", bound="BatchRequestOutput")


@_attrs_define
class BatchRequestOutput:
    """One line of an output or error file.

    Attributes:
        id (str | Unset): The service's name for the line.
        custom_id (str | Unset): The caller's name for the line.
        error (BatchRequestOutputError | Unset): Why a line was never answered.
        response (BatchRequestOutputResponse | Unset): What the endpoint answered to a line.
    """

    id: str | Unset = UNSET
    custom_id: str | Unset = UNSET
    error: BatchRequestOutputError | Unset = UNSET
    response: BatchRequestOutputResponse | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        id = self.id

        custom_id = self.custom_id

        error: dict[str, Any] | Unset = UNSET
        if not isinstance(self.error, Unset):
            error = self.error.to_dict()

        response: dict[str, Any] | Unset = UNSET
        if not isinstance(self.response, Unset):
            response = self.response.to_dict()

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if id is not UNSET:
            field_dict["id"] = id
        if custom_id is not UNSET:
            field_dict["custom_id"] = custom_id
        if error is not UNSET:
            field_dict["error"] = error
        if response is not UNSET:
            field_dict["response"] = response

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:

        d = dict(src_dict)
        id = d.pop("id", UNSET)

        custom_id = d.pop("custom_id", UNSET)

        _error = d.pop("error", UNSET)
        error: BatchRequestOutputError | Unset
        if isinstance(_error, Unset):
            error = UNSET
        else:
            error = BatchRequestOutputError.from_dict(_error)

        _response = d.pop("response", UNSET)
        response: BatchRequestOutputResponse | Unset
        if isinstance(_response, Unset):
            response = UNSET
        else:
            response = BatchRequestOutputResponse.from_dict(_response)

        batch_request_output = cls(
            id=id,
            custom_id=custom_id,
            error=error,
            response=response,
        )

        batch_request_output.additional_properties = d
        return batch_request_output

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

from ..models.batch_request_output_error import BatchRequestOutputError  # noqa: E402
from ..models.batch_request_output_response import BatchRequestOutputResponse  # noqa: E402

# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

T = TypeVar("T", bound="BatchRequestOutputResponse")


@_attrs_define
class BatchRequestOutputResponse:
    """What the endpoint answered to a line.

    Attributes:
        body (Any | Unset): The answer itself, or the error object of a failed line.
        request_id (str | Unset): The service's name for the request, to quote to its support.
        status_code (int | Unset): HTTP status of the answer.
    """

    body: Any | Unset = UNSET
    request_id: str | Unset = UNSET
    status_code: int | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        body = self.body

        request_id = self.request_id

        status_code = self.status_code

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if body is not UNSET:
            field_dict["body"] = body
        if request_id is not UNSET:
            field_dict["request_id"] = request_id
        if status_code is not UNSET:
            field_dict["status_code"] = status_code

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        body = d.pop("body", UNSET)

        request_id = d.pop("request_id", UNSET)

        status_code = d.pop("status_code", UNSET)

        batch_request_output_response = cls(
            body=body,
            request_id=request_id,
            status_code=status_code,
        )

        batch_request_output_response.additional_properties = d
        return batch_request_output_response

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

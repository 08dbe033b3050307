# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.batch_request_input_method import (
    BatchRequestInputMethod,
    check_batch_request_input_method,
)

T = TypeVar("T", bound="BatchRequestInput")


@_attrs_define
class BatchRequestInput:
    """One line of a file of requests.

    Attributes:
        custom_id (str): The caller's name for the line, once in a file; the answer bears it.
        body (Any): The request that the endpoint would take.
        method (BatchRequestInputMethod):
        url (str): Path of the endpoint; that of the batch.
    """

    custom_id: str
    body: Any
    method: BatchRequestInputMethod
    url: str
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        custom_id = self.custom_id

        body = self.body

        method: str = self.method

        url = self.url

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "custom_id": custom_id,
                "body": body,
                "method": method,
                "url": url,
            }
        )

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        custom_id = d.pop("custom_id")

        body = d.pop("body")

        method = check_batch_request_input_method(d.pop("method"))

        url = d.pop("url")

        batch_request_input = cls(
            custom_id=custom_id,
            body=body,
            method=method,
            url=url,
        )

        batch_request_input.additional_properties = d
        return batch_request_input

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

# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.list_batches_response_object import (
    ListBatchesResponseObject,
    check_list_batches_response_object,
)
from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.batch import Batch


T = TypeVar("T", bound="ListBatchesResponse")


@_attrs_define
class ListBatchesResponse:
    """One page of batches.

    Attributes:
        object_ (ListBatchesResponseObject | str | Unset): Kind of object; `list`.
        data (list[Batch] | Unset): The batches, newest first.
        first_id (str | Unset): Id of the first batch of the page.
        has_more (bool | Unset): Whether another page follows.
        last_id (str | Unset): Id of the last batch of the page, the cursor to the next.
    """

    object_: ListBatchesResponseObject | str | Unset = UNSET
    data: list[Batch] | Unset = UNSET
    first_id: str | Unset = UNSET
    has_more: bool | Unset = UNSET
    last_id: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
        object_: str | Unset
        if isinstance(self.object_, Unset):
            object_ = UNSET
        elif isinstance(self.object_, str):
            object_ = self.object_
        else:
            object_ = self.object_

        data: list[dict[str, Any]] | Unset = UNSET
        if not isinstance(self.data, Unset):
            data = []
            for data_item_data in self.data:
                data_item = data_item_data.to_dict()
                data.append(data_item)

        first_id = self.first_id

        has_more = self.has_more

        last_id = self.last_id

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update({})
        if object_ is not UNSET:
            field_dict["object"] = object_
        if data is not UNSET:
            field_dict["data"] = data
        if first_id is not UNSET:
            field_dict["first_id"] = first_id
        if has_more is not UNSET:
            field_dict["has_more"] = has_more
        if last_id is not UNSET:
            field_dict["last_id"] = last_id

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:

        d = dict(src_dict)

        def _parse_object_(data: object) -> ListBatchesResponseObject | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                object_type_0 = check_list_batches_response_object(data)

                return object_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(ListBatchesResponseObject | str | Unset, data)

        object_ = _parse_object_(d.pop("object", UNSET))

        _data = d.pop("data", UNSET)
        data: list[Batch] | Unset = UNSET
        if _data is not UNSET:
            data = []
            for data_item_data in _data:
                data_item = Batch.from_dict(data_item_data)

                data.append(data_item)

        first_id = d.pop("first_id", UNSET)

        has_more = d.pop("has_more", UNSET)

        last_id = d.pop("last_id", UNSET)

        list_batches_response = cls(
            object_=object_,
            data=data,
            first_id=first_id,
            has_more=has_more,
            last_id=last_id,
        )

        list_batches_response.additional_properties = d
        return list_batches_response

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

from ..models.batch import Batch  # noqa: E402

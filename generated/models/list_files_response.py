# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..types import UNSET, Unset

if TYPE_CHECKING:
    from ..models.open_ai_file import OpenAIFile


T = TypeVar("T", bound="ListFilesResponse")


@_attrs_define
class ListFilesResponse:
    """One page of files.

    Attributes:
        object_ (str | Unset): Kind of object; `list`.
        data (list[OpenAIFile] | Unset): The files.
        first_id (str | Unset): Id of the first file of the page.
        has_more (bool | Unset): Whether another page follows.
        last_id (str | Unset): Id of the last file of the page, the cursor to the next.
    """

    object_: str | Unset = UNSET
    data: list[OpenAIFile] | Unset = UNSET
    first_id: str | Unset = UNSET
    has_more: bool | Unset = UNSET
    last_id: str | Unset = UNSET
    additional_properties: dict[str, Any] = _attrs_field(init=False, factory=dict)

    def to_dict(self) -> dict[str, Any]:
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
        object_ = d.pop("object", UNSET)

        _data = d.pop("data", UNSET)
        data: list[OpenAIFile] | Unset = UNSET
        if _data is not UNSET:
            data = []
            for data_item_data in _data:
                data_item = OpenAIFile.from_dict(data_item_data)

                data.append(data_item)

        first_id = d.pop("first_id", UNSET)

        has_more = d.pop("has_more", UNSET)

        last_id = d.pop("last_id", UNSET)

        list_files_response = cls(
            object_=object_,
            data=data,
            first_id=first_id,
            has_more=has_more,
            last_id=last_id,
        )

        list_files_response.additional_properties = d
        return list_files_response

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

from ..models.open_ai_file import OpenAIFile  # noqa: E402

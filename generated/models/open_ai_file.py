# Written by openapi-python-client from openapi.yaml; `make generate` rebuilds it. Edits are lost.
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from attrs import define as _attrs_define
from attrs import field as _attrs_field

from ..models.open_ai_file_object import OpenAIFileObject, check_open_ai_file_object
from ..models.open_ai_file_purpose import OpenAIFilePurpose, check_open_ai_file_purpose
from ..models.open_ai_file_status import OpenAIFileStatus, check_open_ai_file_status
from ..types import UNSET, Unset

T = TypeVar("T", bound="OpenAIFile")


@_attrs_define
class OpenAIFile:
    """What the service knows about a file.

    Attributes:
        id (str): Name of the file in every other call.
        object_ (OpenAIFileObject | str | Unset): Kind of object; `file`.
        bytes_ (int | Unset): Size of the content in bytes.
        created_at (int | Unset): When it was uploaded, in Unix seconds.
        expires_at (int | Unset): When it will be deleted, in Unix seconds; absent where it is kept.
        filename (str | Unset): Name it was uploaded under.
        purpose (OpenAIFilePurpose | str | Unset): What the file is for.
        status (OpenAIFileStatus | str | Unset): How far the service is with the file; no longer kept up.
        status_details (str | Unset): Why a file was not usable; no longer kept up.
    """

    id: str
    object_: OpenAIFileObject | str | Unset = UNSET
    bytes_: int | Unset = UNSET
    created_at: int | Unset = UNSET
    expires_at: int | Unset = UNSET
    filename: str | Unset = UNSET
    purpose: OpenAIFilePurpose | str | Unset = UNSET
    status: OpenAIFileStatus | str | Unset = UNSET
    status_details: str | Unset = UNSET
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

        bytes_ = self.bytes_

        created_at = self.created_at

        expires_at = self.expires_at

        filename = self.filename

        purpose: str | Unset
        if isinstance(self.purpose, Unset):
            purpose = UNSET
        elif isinstance(self.purpose, str):
            purpose = self.purpose
        else:
            purpose = self.purpose

        status: str | Unset
        if isinstance(self.status, Unset):
            status = UNSET
        elif isinstance(self.status, str):
            status = self.status
        else:
            status = self.status

        status_details = self.status_details

        field_dict: dict[str, Any] = {}
        field_dict.update(self.additional_properties)
        field_dict.update(
            {
                "id": id,
            }
        )
        if object_ is not UNSET:
            field_dict["object"] = object_
        if bytes_ is not UNSET:
            field_dict["bytes"] = bytes_
        if created_at is not UNSET:
            field_dict["created_at"] = created_at
        if expires_at is not UNSET:
            field_dict["expires_at"] = expires_at
        if filename is not UNSET:
            field_dict["filename"] = filename
        if purpose is not UNSET:
            field_dict["purpose"] = purpose
        if status is not UNSET:
            field_dict["status"] = status
        if status_details is not UNSET:
            field_dict["status_details"] = status_details

        return field_dict

    @classmethod
    def from_dict(cls: type[T], src_dict: Mapping[str, Any]) -> T:
        d = dict(src_dict)
        id = d.pop("id")

        def _parse_object_(data: object) -> OpenAIFileObject | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                object_type_0 = check_open_ai_file_object(data)

                return object_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(OpenAIFileObject | str | Unset, data)

        object_ = _parse_object_(d.pop("object", UNSET))

        bytes_ = d.pop("bytes", UNSET)

        created_at = d.pop("created_at", UNSET)

        expires_at = d.pop("expires_at", UNSET)

        filename = d.pop("filename", UNSET)

        def _parse_purpose(data: object) -> OpenAIFilePurpose | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                purpose_type_0 = check_open_ai_file_purpose(data)

                return purpose_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(OpenAIFilePurpose | str | Unset, data)

        purpose = _parse_purpose(d.pop("purpose", UNSET))

        def _parse_status(data: object) -> OpenAIFileStatus | str | Unset:
            if isinstance(data, Unset):
                return data
            try:
                if not isinstance(data, str):
                    raise TypeError()
                status_type_0 = check_open_ai_file_status(data)

                return status_type_0
            except (TypeError, ValueError, AttributeError, KeyError):
                pass
            return cast(OpenAIFileStatus | str | Unset, data)

        status = _parse_status(d.pop("status", UNSET))

        status_details = d.pop("status_details", UNSET)

        open_ai_file = cls(
            id=id,
            object_=object_,
            bytes_=bytes_,
            created_at=created_at,
            expires_at=expires_at,
            filename=filename,
            purpose=purpose,
            status=status,
            status_details=status_details,
        )

        open_ai_file.additional_properties = d
        return open_ai_file

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

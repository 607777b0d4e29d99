# SPDX-License-Identifier: MIT
from . import data_pb2 as _data_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class StatusCode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STATUS_CODE_UNSPECIFIED: _ClassVar[StatusCode]
    STATUS_CODE_OK: _ClassVar[StatusCode]
    STATUS_CODE_CANCELLED: _ClassVar[StatusCode]
    STATUS_CODE_INVALID_ARGUMENT: _ClassVar[StatusCode]
    STATUS_CODE_DEADLINE_EXCEEDED: _ClassVar[StatusCode]
    STATUS_CODE_NOT_FOUND: _ClassVar[StatusCode]
    STATUS_CODE_ALREADY_EXISTS: _ClassVar[StatusCode]
    STATUS_CODE_PERMISSION_DENIED: _ClassVar[StatusCode]
    STATUS_CODE_RESOURCE_EXHAUSTED: _ClassVar[StatusCode]
    STATUS_CODE_FAILED_PRECONDITION: _ClassVar[StatusCode]
    STATUS_CODE_OUT_OF_RANGE: _ClassVar[StatusCode]
    STATUS_CODE_UNIMPLEMENTED: _ClassVar[StatusCode]
    STATUS_CODE_INTERNAL: _ClassVar[StatusCode]
    STATUS_CODE_UNAVAILABLE: _ClassVar[StatusCode]
    STATUS_CODE_UNAUTHENTICATED: _ClassVar[StatusCode]
    STATUS_CODE_SYSTEM: _ClassVar[StatusCode]
    STATUS_CODE_PROTOCOL_ERROR: _ClassVar[StatusCode]
    STATUS_CODE_UNSUPPORTED_VERSION: _ClassVar[StatusCode]
    STATUS_CODE_CLONE: _ClassVar[StatusCode]
    STATUS_CODE_ALREADY_CONNECTED: _ClassVar[StatusCode]
    STATUS_CODE_SESSION_LOST: _ClassVar[StatusCode]
    STATUS_CODE_TAKEN_OVER: _ClassVar[StatusCode]
    STATUS_CODE_SHUTTING_DOWN: _ClassVar[StatusCode]
    STATUS_CODE_OPENING_TIMEOUT: _ClassVar[StatusCode]
    STATUS_CODE_HEARTBEAT_TIMEOUT: _ClassVar[StatusCode]
    STATUS_CODE_REPLACED: _ClassVar[StatusCode]
    STATUS_CODE_MESSAGE_TOO_LARGE: _ClassVar[StatusCode]
    STATUS_CODE_BAD_MESSAGE: _ClassVar[StatusCode]
STATUS_CODE_UNSPECIFIED: StatusCode
STATUS_CODE_OK: StatusCode
STATUS_CODE_CANCELLED: StatusCode
STATUS_CODE_INVALID_ARGUMENT: StatusCode
STATUS_CODE_DEADLINE_EXCEEDED: StatusCode
STATUS_CODE_NOT_FOUND: StatusCode
STATUS_CODE_ALREADY_EXISTS: StatusCode
STATUS_CODE_PERMISSION_DENIED: StatusCode
STATUS_CODE_RESOURCE_EXHAUSTED: StatusCode
STATUS_CODE_FAILED_PRECONDITION: StatusCode
STATUS_CODE_OUT_OF_RANGE: StatusCode
STATUS_CODE_UNIMPLEMENTED: StatusCode
STATUS_CODE_INTERNAL: StatusCode
STATUS_CODE_UNAVAILABLE: StatusCode
STATUS_CODE_UNAUTHENTICATED: StatusCode
STATUS_CODE_SYSTEM: StatusCode
STATUS_CODE_PROTOCOL_ERROR: StatusCode
STATUS_CODE_UNSUPPORTED_VERSION: StatusCode
STATUS_CODE_CLONE: StatusCode
STATUS_CODE_ALREADY_CONNECTED: StatusCode
STATUS_CODE_SESSION_LOST: StatusCode
STATUS_CODE_TAKEN_OVER: StatusCode
STATUS_CODE_SHUTTING_DOWN: StatusCode
STATUS_CODE_OPENING_TIMEOUT: StatusCode
STATUS_CODE_HEARTBEAT_TIMEOUT: StatusCode
STATUS_CODE_REPLACED: StatusCode
STATUS_CODE_MESSAGE_TOO_LARGE: StatusCode
STATUS_CODE_BAD_MESSAGE: StatusCode

class Status(_message.Message):
    __slots__ = ("code", "message", "errno_name", "kept")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    ERRNO_NAME_FIELD_NUMBER: _ClassVar[int]
    KEPT_FIELD_NUMBER: _ClassVar[int]
    code: StatusCode
    message: str
    errno_name: str
    kept: KeptRange
    def __init__(self, code: _Optional[_Union[StatusCode, str]] = ..., message: _Optional[str] = ..., errno_name: _Optional[str] = ..., kept: _Optional[_Union[KeptRange, _Mapping]] = ...) -> None: ...

class KeptRange(_message.Message):
    __slots__ = ("channel", "earliest_offset", "end_offset")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    EARLIEST_OFFSET_FIELD_NUMBER: _ClassVar[int]
    END_OFFSET_FIELD_NUMBER: _ClassVar[int]
    channel: _data_pb2.ChannelId
    earliest_offset: int
    end_offset: int
    def __init__(self, channel: _Optional[_Union[_data_pb2.ChannelId, str]] = ..., earliest_offset: _Optional[int] = ..., end_offset: _Optional[int] = ...) -> None: ...

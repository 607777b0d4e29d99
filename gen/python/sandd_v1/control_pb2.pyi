# SPDX-License-Identifier: MIT
from . import data_pb2 as _data_pb2
from . import status_pb2 as _status_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChannelEndReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_END_REASON_UNSPECIFIED: _ClassVar[ChannelEndReason]
    CHANNEL_END_REASON_EOF: _ClassVar[ChannelEndReason]
    CHANNEL_END_REASON_DRAIN_LIMIT: _ClassVar[ChannelEndReason]
CHANNEL_END_REASON_UNSPECIFIED: ChannelEndReason
CHANNEL_END_REASON_EOF: ChannelEndReason
CHANNEL_END_REASON_DRAIN_LIMIT: ChannelEndReason

class ChannelEnd(_message.Message):
    __slots__ = ("channel", "final_offset", "reason")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    FINAL_OFFSET_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    channel: _data_pb2.ChannelId
    final_offset: int
    reason: ChannelEndReason
    def __init__(self, channel: _Optional[_Union[_data_pb2.ChannelId, str]] = ..., final_offset: _Optional[int] = ..., reason: _Optional[_Union[ChannelEndReason, str]] = ...) -> None: ...

class End(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

class Reset(_message.Message):
    __slots__ = ("status",)
    STATUS_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ...) -> None: ...

# SPDX-License-Identifier: MIT
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ChannelId(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CHANNEL_ID_UNSPECIFIED: _ClassVar[ChannelId]
    CHANNEL_ID_STDIN: _ClassVar[ChannelId]
    CHANNEL_ID_STDOUT: _ClassVar[ChannelId]
    CHANNEL_ID_STDERR: _ClassVar[ChannelId]
    CHANNEL_ID_TO_ANSWERER: _ClassVar[ChannelId]
    CHANNEL_ID_TO_OPENER: _ClassVar[ChannelId]
CHANNEL_ID_UNSPECIFIED: ChannelId
CHANNEL_ID_STDIN: ChannelId
CHANNEL_ID_STDOUT: ChannelId
CHANNEL_ID_STDERR: ChannelId
CHANNEL_ID_TO_ANSWERER: ChannelId
CHANNEL_ID_TO_OPENER: ChannelId

class Data(_message.Message):
    __slots__ = ("channel", "offset", "bytes")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    channel: ChannelId
    offset: int
    bytes: bytes
    def __init__(self, channel: _Optional[_Union[ChannelId, str]] = ..., offset: _Optional[int] = ..., bytes: _Optional[bytes] = ...) -> None: ...

class Skip(_message.Message):
    __slots__ = ("channel", "to")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    FROM_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    channel: ChannelId
    to: int
    def __init__(self, channel: _Optional[_Union[ChannelId, str]] = ..., to: _Optional[int] = ..., **kwargs) -> None: ...

class Window(_message.Message):
    __slots__ = ("channel", "next", "consumed", "limit")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    CONSUMED_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    channel: ChannelId
    next: int
    consumed: int
    limit: int
    def __init__(self, channel: _Optional[_Union[ChannelId, str]] = ..., next: _Optional[int] = ..., consumed: _Optional[int] = ..., limit: _Optional[int] = ...) -> None: ...

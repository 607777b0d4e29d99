# SPDX-License-Identifier: MIT
from . import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Hello(_message.Message):
    __slots__ = ("versions", "daemon_id", "instance_id", "attempt", "software", "platform", "labels", "capabilities", "limits", "heartbeat_interval_ns", "exec_retention_ns", "resume")
    VERSIONS_FIELD_NUMBER: _ClassVar[int]
    DAEMON_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_ID_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    PLATFORM_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_NS_FIELD_NUMBER: _ClassVar[int]
    EXEC_RETENTION_NS_FIELD_NUMBER: _ClassVar[int]
    RESUME_FIELD_NUMBER: _ClassVar[int]
    versions: _containers.RepeatedScalarFieldContainer[int]
    daemon_id: str
    instance_id: str
    attempt: int
    software: str
    platform: Platform
    labels: _containers.RepeatedCompositeFieldContainer[Label]
    capabilities: _containers.RepeatedCompositeFieldContainer[Capability]
    limits: Limits
    heartbeat_interval_ns: int
    exec_retention_ns: int
    resume: Resume
    def __init__(self, versions: _Optional[_Iterable[int]] = ..., daemon_id: _Optional[str] = ..., instance_id: _Optional[str] = ..., attempt: _Optional[int] = ..., software: _Optional[str] = ..., platform: _Optional[_Union[Platform, _Mapping]] = ..., labels: _Optional[_Iterable[_Union[Label, _Mapping]]] = ..., capabilities: _Optional[_Iterable[_Union[Capability, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., heartbeat_interval_ns: _Optional[int] = ..., exec_retention_ns: _Optional[int] = ..., resume: _Optional[_Union[Resume, _Mapping]] = ...) -> None: ...

class Platform(_message.Message):
    __slots__ = ("os", "arch", "release", "hostname")
    OS_FIELD_NUMBER: _ClassVar[int]
    ARCH_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    HOSTNAME_FIELD_NUMBER: _ClassVar[int]
    os: str
    arch: str
    release: str
    hostname: str
    def __init__(self, os: _Optional[str] = ..., arch: _Optional[str] = ..., release: _Optional[str] = ..., hostname: _Optional[str] = ...) -> None: ...

class Label(_message.Message):
    __slots__ = ("key", "value")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...

class Capability(_message.Message):
    __slots__ = ("name", "off_reason")
    NAME_FIELD_NUMBER: _ClassVar[int]
    OFF_REASON_FIELD_NUMBER: _ClassVar[int]
    name: str
    off_reason: str
    def __init__(self, name: _Optional[str] = ..., off_reason: _Optional[str] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("message_bytes", "streams", "channels", "control_bytes", "inline_stdin_bytes")
    MESSAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    STREAMS_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    CONTROL_BYTES_FIELD_NUMBER: _ClassVar[int]
    INLINE_STDIN_BYTES_FIELD_NUMBER: _ClassVar[int]
    message_bytes: int
    streams: int
    channels: int
    control_bytes: int
    inline_stdin_bytes: int
    def __init__(self, message_bytes: _Optional[int] = ..., streams: _Optional[int] = ..., channels: _Optional[int] = ..., control_bytes: _Optional[int] = ..., inline_stdin_bytes: _Optional[int] = ...) -> None: ...

class Resume(_message.Message):
    __slots__ = ("session_id", "secret", "last_seq")
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    session_id: bytes
    secret: bytes
    last_seq: int
    def __init__(self, session_id: _Optional[bytes] = ..., secret: _Optional[bytes] = ..., last_seq: _Optional[int] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("version", "session_id", "secret", "resumed", "last_seq", "capabilities", "limits", "heartbeat_interval_ns", "session_retention_ns", "server_time_ns", "software")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    SECRET_FIELD_NUMBER: _ClassVar[int]
    RESUMED_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQ_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_INTERVAL_NS_FIELD_NUMBER: _ClassVar[int]
    SESSION_RETENTION_NS_FIELD_NUMBER: _ClassVar[int]
    SERVER_TIME_NS_FIELD_NUMBER: _ClassVar[int]
    SOFTWARE_FIELD_NUMBER: _ClassVar[int]
    version: int
    session_id: bytes
    secret: bytes
    resumed: bool
    last_seq: int
    capabilities: _containers.RepeatedCompositeFieldContainer[Capability]
    limits: Limits
    heartbeat_interval_ns: int
    session_retention_ns: int
    server_time_ns: int
    software: str
    def __init__(self, version: _Optional[int] = ..., session_id: _Optional[bytes] = ..., secret: _Optional[bytes] = ..., resumed: _Optional[bool] = ..., last_seq: _Optional[int] = ..., capabilities: _Optional[_Iterable[_Union[Capability, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., heartbeat_interval_ns: _Optional[int] = ..., session_retention_ns: _Optional[int] = ..., server_time_ns: _Optional[int] = ..., software: _Optional[str] = ...) -> None: ...

class Goodbye(_message.Message):
    __slots__ = ("status", "retry_after_ns")
    STATUS_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_NS_FIELD_NUMBER: _ClassVar[int]
    status: _status_pb2.Status
    retry_after_ns: int
    def __init__(self, status: _Optional[_Union[_status_pb2.Status, _Mapping]] = ..., retry_after_ns: _Optional[int] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("stamp",)
    STAMP_FIELD_NUMBER: _ClassVar[int]
    stamp: int
    def __init__(self, stamp: _Optional[int] = ...) -> None: ...

class HeartbeatReply(_message.Message):
    __slots__ = ("stamp",)
    STAMP_FIELD_NUMBER: _ClassVar[int]
    stamp: int
    def __init__(self, stamp: _Optional[int] = ...) -> None: ...

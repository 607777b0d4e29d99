# SPDX-License-Identifier: MIT
from . import data_pb2 as _data_pb2
from . import status_pb2 as _status_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ExecMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXEC_MODE_UNSPECIFIED: _ClassVar[ExecMode]
    EXEC_MODE_START: _ClassVar[ExecMode]
    EXEC_MODE_ATTACH_OR_START: _ClassVar[ExecMode]
    EXEC_MODE_ATTACH: _ClassVar[ExecMode]

class ExecRole(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXEC_ROLE_UNSPECIFIED: _ClassVar[ExecRole]
    EXEC_ROLE_HOLD: _ClassVar[ExecRole]
    EXEC_ROLE_SHARE: _ClassVar[ExecRole]
    EXEC_ROLE_WATCH: _ClassVar[ExecRole]

class OnSessionLost(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ON_SESSION_LOST_UNSPECIFIED: _ClassVar[OnSessionLost]
    ON_SESSION_LOST_END: _ClassVar[OnSessionLost]
    ON_SESSION_LOST_KEEP: _ClassVar[OnSessionLost]

class StdinMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STDIN_MODE_UNSPECIFIED: _ClassVar[StdinMode]
    STDIN_MODE_NONE: _ClassVar[StdinMode]
    STDIN_MODE_STREAM: _ClassVar[StdinMode]
    STDIN_MODE_INLINE: _ClassVar[StdinMode]

class StartAt(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    START_AT_OFFSET: _ClassVar[StartAt]
    START_AT_EARLIEST: _ClassVar[StartAt]
    START_AT_NEWEST: _ClassVar[StartAt]

class ExitReason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXIT_REASON_UNSPECIFIED: _ClassVar[ExitReason]
    EXIT_REASON_OWN: _ClassVar[ExitReason]
    EXIT_REASON_DEADLINE: _ClassVar[ExitReason]
    EXIT_REASON_IDLE: _ClassVar[ExitReason]
    EXIT_REASON_CANCELLED: _ClassVar[ExitReason]
    EXIT_REASON_LIMIT: _ClassVar[ExitReason]
    EXIT_REASON_DAEMON_STOPPING: _ClassVar[ExitReason]

class ExecState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXEC_STATE_UNSPECIFIED: _ClassVar[ExecState]
    EXEC_STATE_RUNNING: _ClassVar[ExecState]
    EXEC_STATE_EXITED: _ClassVar[ExecState]
    EXEC_STATE_CLOSED: _ClassVar[ExecState]

class SignalScope(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SIGNAL_SCOPE_UNSPECIFIED: _ClassVar[SignalScope]
    SIGNAL_SCOPE_PROCESS: _ClassVar[SignalScope]
    SIGNAL_SCOPE_FOREGROUND: _ClassVar[SignalScope]
    SIGNAL_SCOPE_TREE: _ClassVar[SignalScope]
EXEC_MODE_UNSPECIFIED: ExecMode
EXEC_MODE_START: ExecMode
EXEC_MODE_ATTACH_OR_START: ExecMode
EXEC_MODE_ATTACH: ExecMode
EXEC_ROLE_UNSPECIFIED: ExecRole
EXEC_ROLE_HOLD: ExecRole
EXEC_ROLE_SHARE: ExecRole
EXEC_ROLE_WATCH: ExecRole
ON_SESSION_LOST_UNSPECIFIED: OnSessionLost
ON_SESSION_LOST_END: OnSessionLost
ON_SESSION_LOST_KEEP: OnSessionLost
STDIN_MODE_UNSPECIFIED: StdinMode
STDIN_MODE_NONE: StdinMode
STDIN_MODE_STREAM: StdinMode
STDIN_MODE_INLINE: StdinMode
START_AT_OFFSET: StartAt
START_AT_EARLIEST: StartAt
START_AT_NEWEST: StartAt
EXIT_REASON_UNSPECIFIED: ExitReason
EXIT_REASON_OWN: ExitReason
EXIT_REASON_DEADLINE: ExitReason
EXIT_REASON_IDLE: ExitReason
EXIT_REASON_CANCELLED: ExitReason
EXIT_REASON_LIMIT: ExitReason
EXIT_REASON_DAEMON_STOPPING: ExitReason
EXEC_STATE_UNSPECIFIED: ExecState
EXEC_STATE_RUNNING: ExecState
EXEC_STATE_EXITED: ExecState
EXEC_STATE_CLOSED: ExecState
SIGNAL_SCOPE_UNSPECIFIED: SignalScope
SIGNAL_SCOPE_PROCESS: SignalScope
SIGNAL_SCOPE_FOREGROUND: SignalScope
SIGNAL_SCOPE_TREE: SignalScope

class ExecOpen(_message.Message):
    __slots__ = ("mode", "exec_id", "instance", "age_ns", "spec", "role", "starts")
    MODE_FIELD_NUMBER: _ClassVar[int]
    EXEC_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    AGE_NS_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    STARTS_FIELD_NUMBER: _ClassVar[int]
    mode: ExecMode
    exec_id: str
    instance: str
    age_ns: int
    spec: ExecSpec
    role: ExecRole
    starts: _containers.RepeatedCompositeFieldContainer[ChannelStart]
    def __init__(self, mode: _Optional[_Union[ExecMode, str]] = ..., exec_id: _Optional[str] = ..., instance: _Optional[str] = ..., age_ns: _Optional[int] = ..., spec: _Optional[_Union[ExecSpec, _Mapping]] = ..., role: _Optional[_Union[ExecRole, str]] = ..., starts: _Optional[_Iterable[_Union[ChannelStart, _Mapping]]] = ...) -> None: ...

class ChannelStart(_message.Message):
    __slots__ = ("channel", "at", "offset", "grant")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    GRANT_FIELD_NUMBER: _ClassVar[int]
    channel: _data_pb2.ChannelId
    at: StartAt
    offset: int
    grant: int
    def __init__(self, channel: _Optional[_Union[_data_pb2.ChannelId, str]] = ..., at: _Optional[_Union[StartAt, str]] = ..., offset: _Optional[int] = ..., grant: _Optional[int] = ...) -> None: ...

class ExecSpec(_message.Message):
    __slots__ = ("argv", "shell_line", "env", "replace_env", "cwd", "user", "stdin_mode", "stdin_inline", "merge_stderr", "timeout_ns", "grace_ns", "idle_timeout_ns", "output_cap", "pty", "on_session_lost", "keep_bytes", "block_unread")
    ARGV_FIELD_NUMBER: _ClassVar[int]
    SHELL_LINE_FIELD_NUMBER: _ClassVar[int]
    ENV_FIELD_NUMBER: _ClassVar[int]
    REPLACE_ENV_FIELD_NUMBER: _ClassVar[int]
    CWD_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    STDIN_MODE_FIELD_NUMBER: _ClassVar[int]
    STDIN_INLINE_FIELD_NUMBER: _ClassVar[int]
    MERGE_STDERR_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_NS_FIELD_NUMBER: _ClassVar[int]
    GRACE_NS_FIELD_NUMBER: _ClassVar[int]
    IDLE_TIMEOUT_NS_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_CAP_FIELD_NUMBER: _ClassVar[int]
    PTY_FIELD_NUMBER: _ClassVar[int]
    ON_SESSION_LOST_FIELD_NUMBER: _ClassVar[int]
    KEEP_BYTES_FIELD_NUMBER: _ClassVar[int]
    BLOCK_UNREAD_FIELD_NUMBER: _ClassVar[int]
    argv: Argv
    shell_line: bytes
    env: _containers.RepeatedCompositeFieldContainer[EnvVar]
    replace_env: bool
    cwd: bytes
    user: User
    stdin_mode: StdinMode
    stdin_inline: bytes
    merge_stderr: bool
    timeout_ns: int
    grace_ns: int
    idle_timeout_ns: int
    output_cap: OutputCap
    pty: Pty
    on_session_lost: OnSessionLost
    keep_bytes: int
    block_unread: bool
    def __init__(self, argv: _Optional[_Union[Argv, _Mapping]] = ..., shell_line: _Optional[bytes] = ..., env: _Optional[_Iterable[_Union[EnvVar, _Mapping]]] = ..., replace_env: _Optional[bool] = ..., cwd: _Optional[bytes] = ..., user: _Optional[_Union[User, _Mapping]] = ..., stdin_mode: _Optional[_Union[StdinMode, str]] = ..., stdin_inline: _Optional[bytes] = ..., merge_stderr: _Optional[bool] = ..., timeout_ns: _Optional[int] = ..., grace_ns: _Optional[int] = ..., idle_timeout_ns: _Optional[int] = ..., output_cap: _Optional[_Union[OutputCap, _Mapping]] = ..., pty: _Optional[_Union[Pty, _Mapping]] = ..., on_session_lost: _Optional[_Union[OnSessionLost, str]] = ..., keep_bytes: _Optional[int] = ..., block_unread: _Optional[bool] = ...) -> None: ...

class Argv(_message.Message):
    __slots__ = ("args",)
    ARGS_FIELD_NUMBER: _ClassVar[int]
    args: _containers.RepeatedScalarFieldContainer[bytes]
    def __init__(self, args: _Optional[_Iterable[bytes]] = ...) -> None: ...

class EnvVar(_message.Message):
    __slots__ = ("name", "value")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    name: bytes
    value: bytes
    def __init__(self, name: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...

class User(_message.Message):
    __slots__ = ("name", "uid")
    NAME_FIELD_NUMBER: _ClassVar[int]
    UID_FIELD_NUMBER: _ClassVar[int]
    name: str
    uid: int
    def __init__(self, name: _Optional[str] = ..., uid: _Optional[int] = ...) -> None: ...

class OutputCap(_message.Message):
    __slots__ = ("head_bytes", "tail_bytes")
    HEAD_BYTES_FIELD_NUMBER: _ClassVar[int]
    TAIL_BYTES_FIELD_NUMBER: _ClassVar[int]
    head_bytes: int
    tail_bytes: int
    def __init__(self, head_bytes: _Optional[int] = ..., tail_bytes: _Optional[int] = ...) -> None: ...

class Pty(_message.Message):
    __slots__ = ("rows", "cols", "term")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLS_FIELD_NUMBER: _ClassVar[int]
    TERM_FIELD_NUMBER: _ClassVar[int]
    rows: int
    cols: int
    term: str
    def __init__(self, rows: _Optional[int] = ..., cols: _Optional[int] = ..., term: _Optional[str] = ...) -> None: ...

class ExecStarted(_message.Message):
    __slots__ = ("exec_id", "instance", "pid", "attached", "state", "outputs", "stdin", "age_ns")
    EXEC_ID_FIELD_NUMBER: _ClassVar[int]
    INSTANCE_FIELD_NUMBER: _ClassVar[int]
    PID_FIELD_NUMBER: _ClassVar[int]
    ATTACHED_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    OUTPUTS_FIELD_NUMBER: _ClassVar[int]
    STDIN_FIELD_NUMBER: _ClassVar[int]
    AGE_NS_FIELD_NUMBER: _ClassVar[int]
    exec_id: str
    instance: str
    pid: int
    attached: bool
    state: ExecState
    outputs: _containers.RepeatedCompositeFieldContainer[OutputState]
    stdin: StdinState
    age_ns: int
    def __init__(self, exec_id: _Optional[str] = ..., instance: _Optional[str] = ..., pid: _Optional[int] = ..., attached: _Optional[bool] = ..., state: _Optional[_Union[ExecState, str]] = ..., outputs: _Optional[_Iterable[_Union[OutputState, _Mapping]]] = ..., stdin: _Optional[_Union[StdinState, _Mapping]] = ..., age_ns: _Optional[int] = ...) -> None: ...

class OutputState(_message.Message):
    __slots__ = ("kept", "start_offset")
    KEPT_FIELD_NUMBER: _ClassVar[int]
    START_OFFSET_FIELD_NUMBER: _ClassVar[int]
    kept: _status_pb2.KeptRange
    start_offset: int
    def __init__(self, kept: _Optional[_Union[_status_pb2.KeptRange, _Mapping]] = ..., start_offset: _Optional[int] = ...) -> None: ...

class StdinState(_message.Message):
    __slots__ = ("accepted", "written", "closed")
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_FIELD_NUMBER: _ClassVar[int]
    CLOSED_FIELD_NUMBER: _ClassVar[int]
    accepted: int
    written: int
    closed: bool
    def __init__(self, accepted: _Optional[int] = ..., written: _Optional[int] = ..., closed: _Optional[bool] = ...) -> None: ...

class ExecExited(_message.Message):
    __slots__ = ("exit_code", "signal", "reason", "wall_ns", "usage")
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    WALL_NS_FIELD_NUMBER: _ClassVar[int]
    USAGE_FIELD_NUMBER: _ClassVar[int]
    exit_code: int
    signal: str
    reason: ExitReason
    wall_ns: int
    usage: ResourceUsage
    def __init__(self, exit_code: _Optional[int] = ..., signal: _Optional[str] = ..., reason: _Optional[_Union[ExitReason, str]] = ..., wall_ns: _Optional[int] = ..., usage: _Optional[_Union[ResourceUsage, _Mapping]] = ...) -> None: ...

class ResourceUsage(_message.Message):
    __slots__ = ("user_ns", "system_ns", "max_rss_bytes")
    USER_NS_FIELD_NUMBER: _ClassVar[int]
    SYSTEM_NS_FIELD_NUMBER: _ClassVar[int]
    MAX_RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
    user_ns: int
    system_ns: int
    max_rss_bytes: int
    def __init__(self, user_ns: _Optional[int] = ..., system_ns: _Optional[int] = ..., max_rss_bytes: _Optional[int] = ...) -> None: ...

class Signal(_message.Message):
    __slots__ = ("name", "scope")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    name: str
    scope: SignalScope
    def __init__(self, name: _Optional[str] = ..., scope: _Optional[_Union[SignalScope, str]] = ...) -> None: ...

class Resize(_message.Message):
    __slots__ = ("rows", "cols")
    ROWS_FIELD_NUMBER: _ClassVar[int]
    COLS_FIELD_NUMBER: _ClassVar[int]
    rows: int
    cols: int
    def __init__(self, rows: _Optional[int] = ..., cols: _Optional[int] = ...) -> None: ...

class Detach(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

# SPDX-License-Identifier: MIT
from . import control_pb2 as _control_pb2
from . import data_pb2 as _data_pb2
from . import exec_pb2 as _exec_pb2
from . import link_pb2 as _link_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Packet(_message.Message):
    __slots__ = ("ack", "frames")
    ACK_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    ack: int
    frames: _containers.RepeatedCompositeFieldContainer[Frame]
    def __init__(self, ack: _Optional[int] = ..., frames: _Optional[_Iterable[_Union[Frame, _Mapping]]] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("seq", "stream_id", "data", "window", "skip", "heartbeat", "heartbeat_reply", "hello", "welcome", "goodbye", "channel_end", "end", "reset", "exec_open", "exec_started", "exec_exited", "signal", "resize", "detach")
    SEQ_FIELD_NUMBER: _ClassVar[int]
    STREAM_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_REPLY_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    GOODBYE_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_END_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    RESET_FIELD_NUMBER: _ClassVar[int]
    EXEC_OPEN_FIELD_NUMBER: _ClassVar[int]
    EXEC_STARTED_FIELD_NUMBER: _ClassVar[int]
    EXEC_EXITED_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    RESIZE_FIELD_NUMBER: _ClassVar[int]
    DETACH_FIELD_NUMBER: _ClassVar[int]
    seq: int
    stream_id: int
    data: _data_pb2.Data
    window: _data_pb2.Window
    skip: _data_pb2.Skip
    heartbeat: _link_pb2.Heartbeat
    heartbeat_reply: _link_pb2.HeartbeatReply
    hello: _link_pb2.Hello
    welcome: _link_pb2.Welcome
    goodbye: _link_pb2.Goodbye
    channel_end: _control_pb2.ChannelEnd
    end: _control_pb2.End
    reset: _control_pb2.Reset
    exec_open: _exec_pb2.ExecOpen
    exec_started: _exec_pb2.ExecStarted
    exec_exited: _exec_pb2.ExecExited
    signal: _exec_pb2.Signal
    resize: _exec_pb2.Resize
    detach: _exec_pb2.Detach
    def __init__(self, seq: _Optional[int] = ..., stream_id: _Optional[int] = ..., data: _Optional[_Union[_data_pb2.Data, _Mapping]] = ..., window: _Optional[_Union[_data_pb2.Window, _Mapping]] = ..., skip: _Optional[_Union[_data_pb2.Skip, _Mapping]] = ..., heartbeat: _Optional[_Union[_link_pb2.Heartbeat, _Mapping]] = ..., heartbeat_reply: _Optional[_Union[_link_pb2.HeartbeatReply, _Mapping]] = ..., hello: _Optional[_Union[_link_pb2.Hello, _Mapping]] = ..., welcome: _Optional[_Union[_link_pb2.Welcome, _Mapping]] = ..., goodbye: _Optional[_Union[_link_pb2.Goodbye, _Mapping]] = ..., channel_end: _Optional[_Union[_control_pb2.ChannelEnd, _Mapping]] = ..., end: _Optional[_Union[_control_pb2.End, _Mapping]] = ..., reset: _Optional[_Union[_control_pb2.Reset, _Mapping]] = ..., exec_open: _Optional[_Union[_exec_pb2.ExecOpen, _Mapping]] = ..., exec_started: _Optional[_Union[_exec_pb2.ExecStarted, _Mapping]] = ..., exec_exited: _Optional[_Union[_exec_pb2.ExecExited, _Mapping]] = ..., signal: _Optional[_Union[_exec_pb2.Signal, _Mapping]] = ..., resize: _Optional[_Union[_exec_pb2.Resize, _Mapping]] = ..., detach: _Optional[_Union[_exec_pb2.Detach, _Mapping]] = ...) -> None: ...

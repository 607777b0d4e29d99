// SPDX-License-Identifier: MIT
#include "types.h"

const char *sandd_status_name(int code) {
  static const char prefix[] = "STATUS_CODE_";
  const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(&sandd__v1__status_code__descriptor, code);
  return value ? value->name + sizeof prefix - 1 : "UNKNOWN";
}

uint16_t sandd_status_close_code(int code) {
  switch (code) {
  case SANDD__V1__STATUS_CODE__STATUS_CODE_OK:
  case SANDD__V1__STATUS_CODE__STATUS_CODE_SHUTTING_DOWN: return 1000;
  case SANDD__V1__STATUS_CODE__STATUS_CODE_BAD_MESSAGE: return 1007;
  case SANDD__V1__STATUS_CODE__STATUS_CODE_MESSAGE_TOO_LARGE: return 1009;
  default: return (uint16_t)(4000 + code);
  }
}

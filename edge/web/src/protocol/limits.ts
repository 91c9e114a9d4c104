/** Numbers of the wire that a client must keep to; each names its source. */
/** `api::SUBMIT_OPERATIONS_MAX` */
export const SUBMIT_OPERATIONS_MAX = 200;
/** `op::MESSAGE_LEN_MAX`, in bytes of UTF-8 */
export const MESSAGE_LEN_MAX = 16 * 1024;
/** `op::NAME_LEN_MAX`, in characters */
export const NAME_LEN_MAX = 120;
/** `live::Command::Ping`: at least every 10 s. More often, so that a box that hangs is noticed within two of them. */
export const HEARTBEAT_MS = 3_000;
/** `import::LIST_LEN_MAX`, in bytes */
export const LIST_LEN_MAX = 4 << 20;
/** `POST /api/password`, in characters */
export const PASSWORD_LEN_MIN = 8;

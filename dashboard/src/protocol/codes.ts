/** Numbers on the wire and their names: `etp/codes.py`. */

export const MESSAGE_TYPES = [
  "Register",
  "Query",
  "Response",
  "Bid",
  "Accept",
  "Confirm",
  "Reject",
  "Terminate",
  "DeviceFailure",
  "Status",
] as const;

export type MessageName = (typeof MESSAGE_TYPES)[number];

/** `message_type` by name. */
export const TYPE = {
  RESPONSE: 2,
  BID: 3,
  ACCEPT: 4,
  CONFIRM: 5,
  REJECT: 6,
  TERMINATE: 7,
  DEVICE_FAILURE: 8,
} as const;

const REJECT: Readonly<Record<number, string>> = {
  1: "below reserve",
  2: "insufficient energy",
  3: "unavailable",
  4: "outbid",
  5: "lot closed",
  6: "late",
  7: "invalid field",
  8: "not authorised",
  9: "too many bids",
  10: "another won",
};
const TERMINATE: Readonly<Record<number, string>> = {
  0: "finished",
  1: "timeout",
  2: "cannot deliver",
  3: "shutting down",
  4: "protocol error",
  5: "not authorised",
  6: "busy",
};
const FAILURE: Readonly<Record<number, string>> = { 1: "communication", 2: "battery", 3: "inverter", 4: "temperature" };
const HEALTH = ["excellent", "good", "fair", "poor"] as const;

/** A message type's name; a number that has none is shown as it is. */
export function messageName(type: number): string {
  return MESSAGE_TYPES[type] ?? `type ${type}`;
}

/** What `termination_code` means in a message of this type; null: it means nothing there. */
export function codeName(type: number, code: number): string | null {
  const table = { [TYPE.REJECT]: REJECT, [TYPE.TERMINATE]: TERMINATE, [TYPE.DEVICE_FAILURE]: FAILURE }[type];
  return table === undefined ? null : (table[code] ?? "unknown");
}

/** What `battery_health_status_code` means. */
export function healthName(code: number): string {
  return HEALTH[code] ?? "unknown";
}

/** Times as people read them, in the viewer's zone. µs since 1970 in, text out. */

export const ZONE = new Intl.DateTimeFormat().resolvedOptions().timeZone;

/** Market time further from the clock than this is a replay, µs: clocks of nodes differ by seconds at most. */
const REPLAY_US = 3_600 * 1_000_000;

type Shape = "time" | "minute" | "day" | "full" | "hour";
const SHAPES: Readonly<Record<Shape, Intl.DateTimeFormatOptions>> = {
  time: { hour: "2-digit", minute: "2-digit", second: "2-digit" },
  minute: { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  day: { day: "numeric", month: "short", year: "numeric" },
  full: { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 },
  hour: { hour: "2-digit", minute: "2-digit" },
};
const made = new Map<string, Intl.DateTimeFormat>();

function format(shape: Shape, zone: string): Intl.DateTimeFormat {
  const key = `${shape} ${zone}`;
  const known = made.get(key);
  if (known !== undefined) return known;
  const fresh = new Intl.DateTimeFormat("en-GB", { ...SHAPES[shape], hourCycle: "h23", timeZone: zone });
  made.set(key, fresh);
  return fresh;
}

/** A moment; null: a dash. */
export function moment(us: number | null | undefined, shape: Shape = "full", zone = ZONE): string {
  return us == null ? "–" : format(shape, zone).format(us / 1_000);
}

/** "UTC+10" of a zone at a moment. */
export function offsetName(atMs: number, zone = ZONE): string {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone: zone, timeZoneName: "shortOffset" }).formatToParts(atMs);
  const name = parts.find((part) => part.type === "timeZoneName")?.value ?? "GMT";
  return name.replace("GMT", "UTC").replace(/\+0$/, "");
}

/** How long ago, or how long something takes: "3 s", "4 min", "2 h", "5 d". */
export function duration(us: number): string {
  const seconds = Math.max(0, us) / 1_000_000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** Whole seconds or more: for ages that tick. */
export function age(us: number): string {
  return us < 10_000_000 ? `${Math.floor(Math.max(0, us) / 1_000_000)} s` : duration(us);
}

/** Whether market time is another time than the clock's. */
export function isReplay(marketUs: number, timeUs: number): boolean {
  return Math.abs(marketUs - timeUs) > REPLAY_US;
}

/** A `datetime-local` field's text for a moment, in the viewer's zone, to the minute. */
export function toLocalField(us: string | null): string {
  if (us === null || !/^\d+$/.test(us)) return "";
  const at = new Date(Number(us) / 1_000);
  if (Number.isNaN(at.getTime())) return "";
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day}T${two(at.getHours())}:${two(at.getMinutes())}`;
}

/** µs of such a field; null: it is empty or no time. */
export function fromLocalField(text: string): string | null {
  const at = text === "" ? Number.NaN : new Date(text).getTime();
  return Number.isNaN(at) ? null : String(at * 1_000);
}

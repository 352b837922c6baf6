/** REST on the same origin. Errors say what the gateway said. */

import type { Problem } from "../contract/rest";

export class ApiError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.name = "ApiError";
    this.status = status;
  }
}

type Reviver = (this: unknown, key: string, value: unknown, context?: { readonly source?: string }) => unknown;

/** Integers beyond 2^53 stay whole, as text, where the browser can tell their digits; journals hold u64 ids. */
const whole: Reviver = (_key, value, context) =>
  typeof value === "number" && Number.isInteger(value) && !Number.isSafeInteger(value) ? (context?.source ?? value) : value;

export function parseJson(text: string): unknown {
  return JSON.parse(text, whole);
}

let onUnauthorised: () => void = () => undefined;

/** What happens when the session is over. */
export function whenUnauthorised(handler: () => void): void {
  onUnauthorised = handler;
}

function isProblem(value: unknown): value is Problem {
  return typeof value === "object" && value !== null && "title" in value && "detail" in value;
}

async function answer(path: string, init: RequestInit): Promise<string> {
  const response = await fetch(`/api/v1${path}`, { credentials: "same-origin", ...init });
  const text = await response.text();
  if (response.ok) return text;
  let message = `${response.status} ${response.statusText}`.trim();
  try {
    const said = parseJson(text);
    if (isProblem(said)) message = said.detail === "" ? said.title : said.detail;
  } catch {
    // not JSON: a proxy's page; its status says enough
  }
  if (response.status === 401 && !path.startsWith("/login")) onUnauthorised();
  throw new ApiError(response.status, message);
}

async function call(path: string, init: RequestInit): Promise<unknown> {
  const text = await answer(path, init);
  return text === "" ? null : parseJson(text);
}

/** An answer as it is: CSV. */
export async function getText(path: string, signal: AbortSignal): Promise<string> {
  return answer(path, { signal });
}

/** The answer's body. Throws ApiError, or TypeError where there is no network. */
export async function get<T>(path: string, signal?: AbortSignal): Promise<T> {
  return (await call(path, signal === undefined ? {} : { signal })) as T;
}

export async function post(path: string, body: unknown): Promise<unknown> {
  return call(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

/** A path with its query; what is null or empty is left out. */
export function query(path: string, values: Readonly<Record<string, string | number | null | undefined>>): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== null && value !== undefined && value !== "") search.set(name, String(value));
  }
  const text = search.toString();
  return text === "" ? path : `${path}?${text}`;
}

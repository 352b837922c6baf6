/** What REST answers, as a hook: read at once, read again when it may be old, and what was read stays while it is. */

import { useCallback, useEffect, useRef, useState } from "react";

import { useConnection } from "../world/store";
import { ApiError, get } from "./api";

export interface Resource<T> {
  readonly data: T | null;
  readonly error: ApiError | null;
  readonly loading: boolean;
  readonly reload: () => void;
}

/** Answers that are kept, so that the way back shows something at once. */
const MOST_KEPT = 40;
const kept = new Map<string, unknown>();

function keep(path: string, data: unknown): void {
  kept.delete(path);
  kept.set(path, data);
  if (kept.size > MOST_KEPT) {
    const oldest = kept.keys().next();
    if (oldest.done !== true) kept.delete(oldest.value);
  }
}

/** Forgets what one user read before another one does. */
export function forgetAll(): void {
  kept.clear();
}

interface State<T> {
  readonly path: string | null;
  readonly data: T | null;
  readonly error: ApiError | null;
  readonly loading: boolean;
}

function initial<T>(path: string | null): State<T> {
  const data = path === null ? null : ((kept.get(path) as T | undefined) ?? null);
  return { path, data, error: null, loading: path !== null };
}

/**
 * Reads `path` (null: nothing yet), and again when `signal` changes, at most each `everyMs`; or by `read` instead, for what
 * takes more than one request.
 */
export function useResource<T>(
  path: string | null,
  { signal = 0, everyMs = 2_000, read = get }: { signal?: number; everyMs?: number; read?: (path: string, abort: AbortSignal) => Promise<T> } = {},
): Resource<T> {
  const generation = useConnection((connection) => connection.generation);
  const [state, setState] = useState<State<T>>(() => initial(path));
  const [turn, setTurn] = useState(0);
  const readAt = useRef(0);
  const reader = useRef(read);
  useEffect(() => {
    reader.current = read;
  });
  const current = state.path === path ? state : initial<T>(path);

  useEffect(() => {
    if (path === null) return undefined;
    const abort = new AbortController();
    readAt.current = Date.now();
    reader.current(path, abort.signal).then(
      (data) => {
        if (abort.signal.aborted) return;
        keep(path, data);
        setState({ path, data, error: null, loading: false });
      },
      (cause: unknown) => {
        if (abort.signal.aborted) return;
        const error = cause instanceof ApiError ? cause : new ApiError(0, "The gateway does not answer.");
        setState((before) => ({ path, data: before.path === path ? before.data : null, error, loading: false }));
      },
    );
    return () => abort.abort();
  }, [path, turn, generation]);

  const first = useRef(true);
  useEffect(() => {
    if (first.current) {
      first.current = false;
      return undefined;
    }
    const wait = Math.max(0, readAt.current + everyMs - Date.now());
    const timer = setTimeout(() => setTurn((before) => before + 1), wait);
    return () => clearTimeout(timer);
  }, [signal, everyMs]);

  const reload = useCallback(() => setTurn((before) => before + 1), []);
  return { data: current.data, error: current.error, loading: current.loading, reload };
}

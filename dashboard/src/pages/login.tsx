/** Who is there? By a one-time link, or by name and password. */

import { type SubmitEvent, useEffect, useRef, useState } from "react";

import type { Me } from "../contract/rest";
import { ApiError, get, post } from "../net/api";
import { ThemeToggle } from "../ui/shell";
import { spendLinkToken } from "./login_link";

function reason(cause: unknown): string {
  return cause instanceof ApiError ? cause.message : "The gateway does not answer.";
}

export default function Login({ entered }: { entered: () => void }) {
  const [token] = useState(spendLinkToken);
  const [busy, setBusy] = useState(token !== null);
  const [error, setError] = useState<string | null>(null);
  const asked = useRef(false);

  const enter = (path: string, body: unknown) =>
    post(path, body).then(
      () => entered(),
      (cause: unknown) => {
        setError(reason(cause));
        setBusy(false);
      },
    );
  useEffect(() => {
    document.title = "Log in · ETP Market";
    if (asked.current) return;
    asked.current = true;
    if (token !== null) void enter("/login/link", { token });
    // Somebody who is logged in already, or a gateway that asks nobody.
    else get<Me>("/me").then(() => entered(), () => undefined);
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, []);

  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    const fields = new FormData(event.currentTarget);
    setBusy(true);
    setError(null);
    void enter("/login", { name: fields.get("name"), password: fields.get("password") });
  };

  return (
    <div className="flex min-h-dvh flex-col">
      <div className="flex justify-end p-4">
        <ThemeToggle />
      </div>
      <main className="mx-auto mt-[8vh] w-full max-w-sm px-4">
        <div className="mb-6 flex items-center gap-3">
          <img src="/favicon.svg" alt="" width="36" height="36" />
          <h1 className="text-xl font-semibold tracking-tight">Log in to the market</h1>
        </div>
        <form onSubmit={submit} className="panel space-y-4 p-5" data-testid="login-form">
          <label className="block text-sm">
            <span className="mb-1 block text-muted">Name</span>
            <input name="name" autoComplete="username" required maxLength={64} className="control w-full" />
          </label>
          <label className="block text-sm">
            <span className="mb-1 block text-muted">Password</span>
            <input name="password" type="password" autoComplete="current-password" required className="control w-full" />
          </label>
          <button type="submit" className="button button-primary w-full" disabled={busy}>
            {busy ? "Logging in…" : "Log in"}
          </button>
          <div role="alert" data-testid="login-error">
            {error !== null && <p className="rounded-lg bg-bad-soft px-3 py-2 text-sm text-bad wrap-anywhere">{error}</p>}
          </div>
        </form>
        <p className="mt-4 text-sm text-muted">
          The first start of a gateway prints a link that logs in without a password, once. Another one:{" "}
          <code className="font-mono text-xs text-ink">etp gateway link</code>
        </p>
      </main>
    </div>
  );
}

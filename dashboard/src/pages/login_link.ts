/** The one-time token of a login link: taken out of the URL at once, used once. */

let token: string | null = null;

/** Takes it from `/login?token=…` and leaves an address without it. */
export function takeLinkToken(): void {
  const url = new URL(window.location.href);
  if (url.pathname.replace(/\/$/, "") !== "/login" || !url.searchParams.has("token")) return;
  token = url.searchParams.get("token");
  url.searchParams.delete("token");
  window.history.replaceState(null, "", `${url.pathname}${url.search}`);
}

/** The token, for the one who asks first. */
export function spendLinkToken(): string | null {
  const taken = token;
  token = null;
  return taken;
}

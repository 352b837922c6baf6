/** Light or dark: the system's preference until a choice is made, which this browser keeps. */

import { useSyncExternalStore } from "react";

export type Theme = "light" | "dark";
const KEY = "etp-theme";
const system = window.matchMedia("(prefers-color-scheme: dark)");
const readers = new Set<() => void>();

function current(): Theme {
  const chosen = document.documentElement.dataset["theme"];
  if (chosen === "light" || chosen === "dark") return chosen;
  return system.matches ? "dark" : "light";
}

function changed(): void {
  for (const reader of readers) reader();
}

function subscribe(reader: () => void): () => void {
  readers.add(reader);
  if (readers.size === 1) system.addEventListener("change", changed);
  return () => {
    readers.delete(reader);
    if (readers.size === 0) system.removeEventListener("change", changed);
  };
}

export function useTheme(): Theme {
  return useSyncExternalStore(subscribe, current);
}

export function setTheme(theme: Theme): void {
  document.documentElement.dataset["theme"] = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Storage is forbidden: the choice lasts as long as this page.
  }
  changed();
}

/** A colour of the theme that is on now, for canvases. */
export function colour(name: string): string {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

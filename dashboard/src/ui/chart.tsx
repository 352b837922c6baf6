/** Charts: drawn by uPlot, which is loaded when the first one is shown; with a table for who cannot see or wants the numbers. */

import { type ReactNode, Suspense, lazy } from "react";
import type uPlot from "uplot";

import { moment } from "../text/time";
import { colour } from "./theme";
import type { PlotProps } from "./plot";

const Plot = lazy(() => import("./plot"));

export function Chart({ table, ...plot }: PlotProps & { table?: ReactNode }) {
  return (
    <figure className="min-w-0">
      <Suspense fallback={<div className="breathe rounded bg-raised" style={{ height: plot.height }} />}>
        <Plot {...plot} />
      </Suspense>
      {table !== undefined && (
        <details className="mt-2">
          <summary className="text-sm text-muted">As a table</summary>
          <div className="mt-2 max-h-80 overflow-y-auto" role="group" aria-label={`${plot.label}: numbers`} tabIndex={0}>
            {table}
          </div>
        </details>
      )}
    </figure>
  );
}

/** What all axes look like. */
export function axis(extra: uPlot.Axis = {}): uPlot.Axis {
  return {
    stroke: colour("muted"),
    font: "12px ui-sans-serif, system-ui, sans-serif",
    labelFont: "12px ui-sans-serif, system-ui, sans-serif",
    labelSize: 18,
    grid: { stroke: colour("line"), width: 1 },
    ticks: { stroke: colour("line"), width: 1 },
    ...extra,
  };
}

const HOUR_S = 3_600;

/** A time axis in the viewer's zone; x is seconds. */
export function timeAxis(extra: uPlot.Axis = {}): uPlot.Axis {
  return axis({
    space: 70,
    values: (_plot, ticks) => {
      const long = (ticks.at(-1) ?? 0) - (ticks[0] ?? 0) > 36 * HOUR_S;
      const short = (ticks.at(-1) ?? 0) - (ticks[0] ?? 0) < 10 * 60;
      return ticks.map((at) => moment(at * 1_000_000, long ? "minute" : short ? "time" : "hour"));
    },
    ...extra,
  });
}

/** A scale with room at both ends, also around a single value. */
export function roomy(share: number): uPlot.Range.Function {
  return (_plot, low: number | null, high: number | null) => {
    if (low === null || high === null) return [0, 1];
    const room = low === high ? Math.max(Math.abs(low) * 0.1, 0.5) : (high - low) * share;
    return [low - room, high + room];
  };
}

/** Points alone, without lines between them. */
export function dots(name: string, size: number): Partial<uPlot.Series> {
  return { stroke: colour(name), width: 2, paths: () => null, points: { show: true, size, fill: `${colour(name)}b0`, stroke: "transparent", width: 0 } };
}

/** The legend's text of a moment; x is seconds. */
export function momentValue(_plot: uPlot, at: number | null): string {
  return at === null ? "–" : moment(at * 1_000_000, "minute");
}

/** The legend's text of a value in c/kWh. */
export function centsValue(_plot: uPlot, value: number | null | undefined): string {
  return value == null ? "–" : `${value.toFixed(2)} c/kWh`;
}

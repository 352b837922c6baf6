/** A uPlot chart that follows its box and the theme. What it shows is also said in words and in a table beside it. */

import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

import { useTheme } from "./theme";

export interface PlotProps {
  readonly label: string;
  readonly data: uPlot.AlignedData;
  /** Made anew with each theme: colours are read then. A stable function, or the chart is made anew with each drawing. */
  readonly options: () => Omit<uPlot.Options, "width" | "height">;
  readonly height: number;
}

export default function Plot({ label, data, options, height }: PlotProps) {
  const box = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const newest = useRef(data);
  const theme = useTheme();

  useEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const made = new uPlot({ ...options(), width: Math.max(200, element.clientWidth), height }, newest.current, element);
    plot.current = made;
    const observer = new ResizeObserver(() => made.setSize({ width: Math.max(200, element.clientWidth), height }));
    observer.observe(element);
    return () => {
      observer.disconnect();
      made.destroy();
      plot.current = null;
    };
  }, [options, height, theme]);

  useEffect(() => {
    newest.current = data;
    plot.current?.setData(data);
  }, [data]);

  return <div ref={box} role="img" aria-label={label} className="min-w-0 overflow-hidden" />;
}

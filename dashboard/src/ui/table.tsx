/** A table with caption and headed columns. On a phone its rows are cards, or it scrolls in its own box. */

import type { ReactNode } from "react";

export interface Column<T> {
  readonly name: string;
  readonly cell: (row: T) => ReactNode;
  /** Numbers stand right. */
  readonly right?: boolean;
  /** Explained where the name alone is short. */
  readonly hint?: string;
}

export function Table<T>({ caption, columns, rows, rowKey, rowTestId, cards = true, fresh }: {
  caption: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  rowKey: (row: T) => string;
  rowTestId?: string;
  cards?: boolean;
  /** Rows that just came are lit for a moment. */
  fresh?: (row: T) => boolean;
}) {
  return (
    <div role="group" aria-label={caption} tabIndex={0} className="overflow-x-auto">
      <table role="table" className={`data-table ${cards ? "cards" : ""}`}>
        <caption className="sr-only">{caption}</caption>
        <thead role="rowgroup">
          <tr role="row">
            {columns.map((column) => (
              <th key={column.name} scope="col" role="columnheader" title={column.hint} className={column.right === true ? "right" : ""}>
                {column.name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody role="rowgroup">
          {rows.map((row) => {
            const key = rowKey(row);
            return (
              <tr key={key} role="row" data-testid={rowTestId} data-key={key} className={fresh?.(row) === true ? "arrive" : ""}>
                {columns.map((column) => (
                  <td key={column.name} role="cell" data-label={column.name} className={column.right === true ? "right" : ""}>
                    {column.cell(row)}
                  </td>
                ))}
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

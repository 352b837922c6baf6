/** A message field by field: where it stands in the bytes, what the bytes are, and what they mean. */

import type { ReactNode } from "react";

import { toBase58, toHex } from "../protocol/bytes";
import { TYPE, codeName, healthName, messageName } from "../protocol/codes";
import { FIELDS, type Field, type Frame } from "../protocol/frame";
import { type Message, TRAILER_FIELDS, type Trailer, type TrailerField } from "../protocol/record";
import { moment } from "../text/time";
import { Table } from "./table";

interface Row {
  readonly name: string;
  readonly offset: number;
  readonly bytes: string;
  readonly value: ReactNode;
}

function frameValue(frame: Frame, { name, unit }: Field): ReactNode {
  const value = frame[name];
  const type = frame.message_type;
  const meaning = {
    message_type: messageName(type),
    message_id: frame.message_id >= 2n ** 40n && frame.message_id < 2n ** 53n ? moment(Number(frame.message_id)) : null,
    termination_code: [TYPE.REJECT, TYPE.TERMINATE, TYPE.DEVICE_FAILURE].some((one) => one === type) ? codeName(type, frame.termination_code) : null,
    battery_health_status_code: healthName(frame.battery_health_status_code),
  }[name as string];
  return said(value.toString(), unit, meaning ?? null);
}

function trailerValue(trailer: Trailer, { name, unit }: TrailerField): ReactNode {
  switch (name) {
    case "magic":
      return said("ETPS", "", null);
    case "version":
      return said("1", "", null);
    case "algorithm":
      return said("1", "", "Ed25519");
    case "zero":
      return said("0", "", null);
    case "counter":
      return said(trailer.counter.toString(), "", `boot ${trailer.counter >> 32n}, ${trailer.counter & 0xffffffffn} in it`);
    case "lot_id":
      return said(trailer.lot_id.toString(), "", trailer.lot_id === 0n ? "of no lot" : null);
    case "price":
      return said(trailer.price.toString(), unit, null);
    case "energy":
      return said(trailer.energy.toString(), unit, null);
    case "recipient":
      return said(toBase58(trailer.recipient), "", null);
    default:
      return <span className="text-muted">64 bytes over the 148 before them</span>;
  }
}

function said(value: string, unit: string, meaning: string | null): ReactNode {
  return (
    <span className="wrap-anywhere">
      <span className="font-medium">{value}</span>
      {unit !== "" && <span className="text-muted"> {unit}</span>}
      {meaning !== null && <span className="text-muted"> ({meaning})</span>}
    </span>
  );
}

function rows({ bytes, frame, trailer }: Message): readonly Row[] {
  const hex = (offset: number, size: number) => toHex(bytes.subarray(offset, offset + size));
  const made: Row[] = FIELDS.map((field) => ({
    name: field.name,
    offset: field.offset,
    bytes: hex(field.offset, field.size),
    value: frameValue(frame, field),
  }));
  if (trailer === null) return made;
  return [
    ...made,
    ...TRAILER_FIELDS.map((field) => ({
      name: field.name,
      offset: field.offset,
      bytes: hex(field.offset, field.size),
      value: trailerValue(trailer, field),
    })),
  ];
}

export function Decoded({ message, caption }: { message: Message; caption: string }) {
  return (
    <Table
      caption={caption}
      rows={rows(message)}
      rowKey={(row) => row.name}
      rowTestId="field-row"
      columns={[
        { name: "Offset", right: true, cell: (row) => <span className="text-muted">{row.offset}</span> },
        { name: "Field", cell: (row) => <code className="font-mono text-xs">{row.name}</code> },
        { name: "Value", cell: (row) => row.value },
        { name: "Bytes", cell: (row) => <code className="block max-w-64 font-mono text-xs break-all text-muted">{row.bytes}</code> },
      ]}
    />
  );
}

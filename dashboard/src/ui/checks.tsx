/** The button that checks a trade in this browser, and what came out of it. Its arithmetic is loaded when it is pressed. */

import { useState } from "react";

import type { Aggregator, Battery, FrameRole, TradeDetail } from "../contract/rest";
import { get } from "../net/api";
import type { Check } from "../protocol/verify";
import { plural } from "../text/units";
import { Badge, Panel } from "./parts";

interface Outcome {
  readonly checks: readonly Check[];
  readonly failed: number;
  readonly passed: number;
  readonly signed: boolean;
}

const GROUPS: readonly (readonly [FrameRole | null, string])[] = [
  ["bid", "Bid"],
  ["price_setter", "Bid that set the price"],
  ["accept", "Accept"],
  ["confirm", "Confirm"],
  ["answer", "Terminate"],
  [null, "How they fit together"],
];

async function run(trade: TradeDetail): Promise<Outcome> {
  const [protocol, battery, aggregator] = await Promise.all([
    import("../protocol/verify"),
    get<Battery>(`/batteries/${trade.battery}`).catch(() => null),
    get<Aggregator>(`/aggregators/${trade.aggregator}`).catch(() => null),
  ]);
  const checks = protocol.verify(trade, { battery: battery?.key ?? null, aggregator: aggregator?.key ?? null });
  return { checks, ...protocol.verdict(checks) };
}

type State = { readonly at: "rest" | "running" } | { readonly at: "done"; readonly outcome: Outcome } | { readonly at: "broken"; readonly why: string };

export function Verify({ trade }: { trade: TradeDetail }) {
  const [state, setState] = useState<State>({ at: "rest" });
  const start = () => {
    setState({ at: "running" });
    run(trade).then(
      (outcome) => setState({ at: "done", outcome }),
      (cause: unknown) => setState({ at: "broken", why: cause instanceof Error ? cause.message : String(cause) }),
    );
  };
  return (
    <Panel title="Verify" testId="verify-panel">
      <div className="flex flex-wrap items-center gap-4">
        <button type="button" className="button button-primary" onClick={start} disabled={state.at === "running"} data-testid="verify">
          {state.at === "done" ? "Verify again" : state.at === "running" ? "Verifying…" : "Verify"}
        </button>
        <p className="min-w-0 flex-1 text-sm text-muted">
          Checks in this browser, without trusting the gateway’s word: messages, signatures, and whether bid, accept, confirm and payment fit together.
        </p>
      </div>
      <div role="status" data-testid="verify-verdict" data-result={state.at === "done" ? (state.outcome.failed === 0 ? "passed" : "failed") : state.at}>
        {state.at === "broken" && <p className="mt-3 text-sm text-bad">{`It could not be checked: ${state.why}`}</p>}
        {state.at === "done" && <Verdict outcome={state.outcome} />}
      </div>
      {state.at === "done" && <Results checks={state.outcome.checks} />}
    </Panel>
  );
}

function Verdict({ outcome: { failed, passed, signed } }: { outcome: Outcome }) {
  const tone = failed > 0 ? "bg-bad-soft text-bad" : signed ? "bg-good-soft text-good" : "bg-info-soft text-info";
  const text =
    failed > 0
      ? `${plural(failed, "check")} failed, ${passed} passed: do not rely on this trade as it is shown.`
      : signed
        ? `All ${passed} checks passed: the messages are signed by the registered keys and say what the trade says.`
        : `${passed} checks passed, but nobody signed anything: in a plain market a trade is the word of its two nodes.`;
  return <p className={`mt-3 rounded-lg px-3 py-2 text-sm font-medium ${tone}`}>{text}</p>;
}

const RESULTS = { passed: ["good", "passed"], failed: ["bad", "failed"], none: ["plain", "not checked"] } as const;

function Results({ checks }: { checks: readonly Check[] }) {
  return (
    <div className="mt-3 grid gap-x-8 gap-y-4 lg:grid-cols-2">
      {GROUPS.map(([of, name]) => {
        const own = checks.filter((check) => check.of === of);
        if (own.length === 0) return null;
        return (
          <section key={name} aria-label={name} className={`min-w-0 ${of === null ? "lg:col-span-2" : ""}`}>
            <h3 className="mb-1 text-sm font-semibold">{name}</h3>
            <ul className="divide-y divide-line border-y border-line text-sm">
              {own.map((check, at) => (
                <li key={`${check.id}/${at}`} className="flex items-start gap-3 py-1.5" data-testid="check" data-check={check.id} data-result={check.result}>
                  <span className="w-24 shrink-0">
                    <Badge tone={RESULTS[check.result][0]}>{RESULTS[check.result][1]}</Badge>
                  </span>
                  <span className="min-w-0">
                    {check.title}
                    <span className="block text-xs text-muted wrap-anywhere">{check.detail}</span>
                  </span>
                </li>
              ))}
            </ul>
          </section>
        );
      })}
    </div>
  );
}

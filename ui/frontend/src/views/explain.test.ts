// @vitest-environment happy-dom
import { describe, expect, it } from 'vitest';
import type { App } from '../app.ts';
import type { Decision } from '../net/protocol.ts';
import { decisionCard } from './explain.ts';

const DECISION: Decision = { ins: 'X', ts: 0, i: 1, setup: 'S', p: 0.6, thr: 0.5, verdict: 'keep', why: [['vpin', 0.2]], infer_us: 180 };
const app = { clock: () => ({ stamp: String }) } as unknown as App;

describe('the card of a decision', () => {
  it.each([[180, '180 µs'], [null, '–']])('with a time of %j says %s: a model of an old recording is no rule', (infer_us, said) => {
    const words = [...decisionCard(app, { ...DECISION, infer_us }).querySelectorAll('dd')].map((one) => one.textContent);
    expect(words[2]).toBe(said);
  });
});

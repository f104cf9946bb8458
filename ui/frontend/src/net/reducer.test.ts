import { describe, expect, it } from 'vitest';
import type { DeltaFrame, SnapFrame } from './protocol.ts';
import { FrameReducer } from './reducer.ts';

const snap = (seq: number, epoch = 'a'): SnapFrame => ({ t: 'snap', epoch, seq, ts: 0, age_ms: 0, role: 'viewer', ins: null, S: {}, hist: null });
const delta = (from: number, seq: number, epoch = 'a'): DeltaFrame => ({ t: 'd', epoch, from, seq, ts: 0, age_ms: 0, e: [] });

describe('frame reducer', () => {
  it('applies deltas that follow each other, empty ones too', () => {
    const reducer = new FrameReducer();
    expect([snap(10), delta(10, 14), delta(14, 14), delta(14, 15)].map((frame) => reducer.judge(frame))).toEqual(['apply', 'apply', 'apply', 'apply']);
    expect(reducer.judge(delta(14, 15))).toBe('resync');
    expect(reducer.isWaiting).toBe(true);
  });

  it('asks for a snapshot once per gap and applies nothing until it came', () => {
    const reducer = new FrameReducer();
    reducer.judge(snap(10));
    expect([delta(12, 13), delta(13, 14), delta(10, 11), snap(20), delta(20, 21)].map((frame) => reducer.judge(frame))).toEqual([
      'resync', 'ignore', 'ignore', 'apply', 'apply',
    ]);
  });

  it('asks for a snapshot when the node was started anew', () => {
    const reducer = new FrameReducer();
    reducer.judge(snap(10));
    expect(reducer.judge(delta(10, 11, 'b'))).toBe('resync');
  });

  it('waits for the snapshot of a new connection', () => {
    const reducer = new FrameReducer();
    reducer.judge(snap(10));
    reducer.reset();
    expect([delta(10, 11), snap(30), delta(30, 31)].map((frame) => reducer.judge(frame))).toEqual(['ignore', 'apply', 'apply']);
  });
});

/** Decides what to do with a frame: apply it, ask for a snapshot, or leave it. Pure. */
import type { Frame } from './protocol.ts';

export type Verdict = 'apply' | 'resync' | 'ignore';

export class FrameReducer {
  private epoch: string | null = null;
  private seq = -1;
  private waiting = true;

  /** Whether nothing but a snapshot counts now. */
  get isWaiting(): boolean {
    return this.waiting;
  }

  /** Judge a frame; `resync` is said once per gap, deltas until the snapshot are ignored. */
  judge(frame: Frame): Verdict {
    if (frame.t === 'snap') {
      this.epoch = frame.epoch;
      this.seq = frame.seq;
      this.waiting = false;
      return 'apply';
    }
    if (this.waiting) return 'ignore';
    if (frame.epoch !== this.epoch || frame.from !== this.seq) {
      this.waiting = true;
      return 'resync';
    }
    this.seq = frame.seq;
    return 'apply';
  }

  /** Forget everything: after a lost connection only a snapshot counts. */
  reset(): void {
    this.epoch = null;
    this.seq = -1;
    this.waiting = true;
  }
}

/** A moment to show as soon as the instrument's buckets are here: they come in pages, the newest first. */

const WAIT_MS = 10_000;

export class WantedMoment {
  private wanted: { ins: string; ms: number; until: number } | null = null;

  want(ins: string, ms: number, nowMs: number): void {
    this.wanted = { ins, ms, until: nowMs + WAIT_MS };
  }

  /** A person who moves the chart wants to see something else. */
  forget(): void {
    this.wanted = null;
  }

  /** The moment to show with what is loaded now, null for none; `firstMs` is the time of the oldest bucket, undefined without any. */
  next(ins: string, firstMs: number | undefined, nowMs: number): number | null {
    const { wanted } = this;
    if (!wanted || firstMs === undefined || ins !== wanted.ins) return null;
    if (firstMs <= wanted.ms || nowMs >= wanted.until) this.wanted = null;
    return nowMs >= wanted.until ? null : wanted.ms;
  }
}

/** How alive is what we see: judged by the age of the node's last message and of its last trade, not by the state of the socket. */

export type Freshness = 'live' | 'stale' | 'none';
export const STALE_MS = 2000;
export const GONE_MS = 10_000;
/** Without a trade of any instrument for so long the feed counts as dead, as it does for the node (`live.data.stale_secs`). */
export const FEED_STALE_MS = 30_000;

export class Link {
  connected = false;
  /** Why the server refused the connection, for the banner. */
  refusal: string | null = null;
  /** What is wrong with the server itself, for the banner. */
  warning: string | null = null;
  private ageAtFrame = Infinity;
  private frameAt = 0;
  private tickAge: number | null = null;
  private tickAt = 0;

  /** Note a frame that says how old the node's last message was when it left the server; null before the first. */
  frame(ageMs: number | null, nowMs: number): void {
    this.connected = true;
    this.refusal = null;
    this.ageAtFrame = ageMs ?? Infinity;
    this.frameAt = nowMs;
  }

  /** Note how old the newest trade is, ms; null where the node has none, or none is expected. */
  tick(ageMs: number | null, nowMs: number): void {
    this.tickAge = ageMs;
    this.tickAt = nowMs;
  }

  /** Age of the newest trade now, ms; null where it is not known. */
  feedAge(nowMs: number): number | null {
    return this.tickAge === null ? null : this.tickAge + (nowMs - this.tickAt);
  }

  /** Whether the node lives but its feed does not. */
  isFeedDead(nowMs: number): boolean {
    return this.connected && this.age(nowMs) < STALE_MS && (this.feedAge(nowMs) ?? 0) >= FEED_STALE_MS;
  }

  lost(reason: string | null = null): void {
    this.connected = false;
    this.refusal = reason;
  }

  /** Age of the node's last message now, ms; infinite before the first frame. */
  age(nowMs: number): number {
    return this.ageAtFrame + (nowMs - this.frameAt);
  }

  freshness(nowMs: number): Freshness {
    const age = this.age(nowMs);
    if (!this.connected) return age < GONE_MS ? 'stale' : 'none';
    if (this.isFeedDead(nowMs)) return 'stale';
    return age < STALE_MS ? 'live' : age < GONE_MS ? 'stale' : 'none';
  }
}

/** How alive is what we see: judged by the age of the node's last message, not by the state of the socket. */

export type Freshness = 'live' | 'stale' | 'none';
export const STALE_MS = 2000;
export const GONE_MS = 10_000;

export class Link {
  connected = false;
  /** Why the server refused the connection, for the banner. */
  refusal: string | null = null;
  private ageAtFrame = Infinity;
  private frameAt = 0;

  /** Note a frame that says how old the node's last message was when it left the server; null before the first. */
  frame(ageMs: number | null, nowMs: number): void {
    this.connected = true;
    this.refusal = null;
    this.ageAtFrame = ageMs ?? Infinity;
    this.frameAt = nowMs;
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
    return age < STALE_MS ? 'live' : age < GONE_MS ? 'stale' : 'none';
  }
}
